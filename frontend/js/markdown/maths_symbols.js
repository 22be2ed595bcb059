/**
 * The symbols of LaTeX's maths: which character a command stands for, and of which class each character is.
 *
 * A class says how a character is set and what space is around it (The TeXbook, chapter 17): `ord` and `upright` are
 * identifiers, `tight` is a mark without space, `dots`, `bin`, `rel`, `punct`, `open`, `close` are what they say,
 * `fence` opens and closes in turn, `big` has its limits above and below in a display, `int` beside.
 */

// Commands, each followed by its character; a character may have several commands, or none.
const TABLE = {
  ord:
    "alphaαbetaβgammaγdeltaδepsilonϵvarepsilonεzetaζetaηthetaθvarthetaϑiotaιkappaκvarkappaϰlambdaλmuμnuνxiξomicronο" +
    "piπvarpiϖrhoρvarrhoϱsigmaσvarsigmaςtauτupsilonυphiϕvarphiφchiχpsiψomegaωdigammaϝpartial∂imathıjmathȷ" +
    "infty∞emptyset∅varnothing∅forall∀exists∃nexists∄neg¬lnot¬ellℓhbarℏhslashℏReℜImℑwp℘alephℵbethℶtop⊤bot⊥angle∠" +
    "measuredangle∡sphericalangle∢triangle△square□Box□blacksquare■Diamond◇lozenge◊bigstar★clubsuit♣diamondsuit♢" +
    "heartsuit♡spadesuit♠degree°S§P¶copyright©pounds£checkmark✓flat♭natural♮sharp♯complement∁ethðmho℧surd√ℵ" +
    "RℝNℕZℤQℚCℂRealsℝrealsℝComplexℂ%_&$#",
  upright: "GammaΓDeltaΔThetaΘLambdaΛXiΞPiΠSigmaΣUpsilonΥPhiΦPsiΨOmegaΩnabla∇",
  tight: "prime′slash/backslash\\.?!@\"`",
  dots: "ldots…dots…dotsc…dotso…cdots⋯dotsb⋯dotsm⋯dotsi⋯vdots⋮ddots⋱iddots⋰",
  bin:
    "+−pm±mp∓times×div÷cdot⋅centerdot·ast∗star⋆circ∘bullet∙cap∩cup∪uplus⊎sqcap⊓sqcup⊔vee∨lor∨wedge∧land∧setminus∖" +
    "smallsetminus∖wr≀diamond⋄oplus⊕ominus⊖otimes⊗oslash⊘odot⊙dagger†ddagger‡amalg⨿ltimes⋉rtimes⋊triangleleft◁" +
    "triangleright▷bigcirc◯lhd⊲rhd⊳veebar⊻barwedge⊼boxplus⊞boxminus⊟boxtimes⊠boxdot⊡dotplus∔intercal⊺curlyvee⋎" +
    "curlywedge⋏Cup⋓Cap⋒",
  rel:
    "=lt<gt>:le≤leq≤ge≥geq≥ll≪gg≫lll⋘ggg⋙ne≠neq≠equiv≡sim∼simeq≃approx≈approxeq≊thickapprox≈thicksim∼backsim∽cong≅" +
    "propto∝varpropto∝asymp≍doteq≐prec≺succ≻preceq⪯succeq⪰precsim≾succsim≿subset⊂supset⊃subseteq⊆supseteq⊇" +
    "subsetneq⊊supsetneq⊋nsubseteq⊈nsupseteq⊉sqsubset⊏sqsupset⊐sqsubseteq⊑sqsupseteq⊒in∈notin∉ni∋owns∋vdash⊢dashv⊣" +
    "models⊨vDash⊨Vdash⊩nvdash⊬nvDash⊭perp⟂mid∣nmid∤parallel∥nparallel∦smile⌣frown⌢bowtie⋈Join⋈leqslant⩽geqslant⩾" +
    "leqq≦geqq≧lesssim≲gtrsim≳lessapprox⪅gtrapprox⪆lessgtr≶gtrless≷nleq≰ngeq≱nless≮ngtr≯nsim≁ncong≇coloneqq≔" +
    "coloneq≔eqqcolon≕triangleq≜eqcirc≖circeq≗risingdotseq≓trianglelefteq⊴trianglerighteq⊵vartriangleleft⊲" +
    "vartriangleright⊳ntriangleleft⋪therefore∴because∵between≬pitchfork⋔to→rightarrow→leftarrow←gets←leftrightarrow↔" +
    "Rightarrow⇒Leftarrow⇐Leftrightarrow⇔longrightarrow⟶longleftarrow⟵longleftrightarrow⟷Longrightarrow⟹implies⟹" +
    "Longleftarrow⟸impliedby⟸Longleftrightarrow⟺iff⟺mapsto↦longmapsto⟼hookrightarrow↪hookleftarrow↩rightharpoonup⇀" +
    "rightharpoondown⇁leftharpoonup↼leftharpoondown↽rightleftharpoons⇌leftrightharpoons⇋rightsquigarrow⇝leadsto⇝" +
    "nearrow↗searrow↘swarrow↙nwarrow↖twoheadrightarrow↠twoheadleftarrow↞rightarrowtail↣nrightarrow↛nleftarrow↚" +
    "nRightarrow⇏nLeftarrow⇍nleftrightarrow↮nLeftrightarrow⇎rightrightarrows⇉leftleftarrows⇇rightleftarrows⇄" +
    "leftrightarrows⇆circlearrowleft↺circlearrowright↻curvearrowleft↶curvearrowright↷upharpoonright↾restriction↾" +
    "multimap⊸dashrightarrow⇢dashleftarrow⇠uparrow↑downarrow↓updownarrow↕Uparrow⇑Downarrow⇓Updownarrow⇕",
  punct: ",;",
  open: "([lbrack[{lbrace{langle⟨lceil⌈lfloor⌊lgroup⟮llbracket⟦ulcorner⌜",
  close: ")]rbrack]}rbrace}rangle⟩rceil⌉rfloor⌋rgroup⟯rrbracket⟧urcorner⌝",
  fence: "vert|lvert|rvert||‖Vert‖lVert‖rVert‖",
  big: "sum∑prod∏coprod∐bigcup⋃bigcap⋂bigvee⋁bigwedge⋀bigoplus⨁bigotimes⨂bigodot⨀bigsqcup⨆biguplus⨄",
  int: "int∫smallint∫iint∬iiint∭iiiint⨌oint∮oiint∯oiiint∰",
};

/** From a command's name, without its backslash, to its character. @type {Map<string, string>} */
export const SYMBOLS = new Map([..."{}%_&$#"].map((character) => [character, character])).set("|", "‖");

/** From a character to its class; letters and what is not listed are not in it. @type {Map<string, string>} */
export const CLASSES = new Map();

for (const [name, list] of Object.entries(TABLE)) {
  for (const [, command, character = ""] of list.matchAll(/([a-zA-Z]*)([^a-zA-Z])/gu)) {
    if (command) SYMBOLS.set(command, character);
    CLASSES.set(character, name);
  }
}

const SMALL_GREEK = "αβγδεζηθικλμνξοπρςστυφχψω∂ϵϑϰϕϱϖ";
const CAPITAL_GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡϴΣΤΥΦΧΨΩ∇";

/**
 * Where each alphabet's A, a, 0, Α and α are in Unicode's Mathematical Alphanumeric Symbols (0: it has none), and the
 * letters that Unicode has elsewhere. MathML Core knows no other way to write them.
 *
 * @type {Record<string, [number, number, number, number, number, string?]>}
 */
const ALPHABETS = {
  bold: [0x1d400, 0x1d41a, 0x1d7ce, 0x1d6a8, 0x1d6c2],
  italic: [0x1d434, 0x1d44e, 0, 0x1d6e2, 0x1d6fc, "hℎ"],
  boldItalic: [0x1d468, 0x1d482, 0x1d7ce, 0x1d6a8, 0x1d736],
  script: [0x1d49c, 0x1d4b6, 0, 0, 0, "BℬEℰFℱHℋIℐLℒMℳRℛeℯgℊoℴ"],
  fraktur: [0x1d504, 0x1d51e, 0, 0, 0, "CℭHℌIℑRℜZℨ"],
  double: [0x1d538, 0x1d552, 0x1d7d8, 0, 0, "CℂHℍNℕPℙQℚRℝZℤ"],
  sans: [0x1d5a0, 0x1d5ba, 0x1d7e2, 0, 0],
  mono: [0x1d670, 0x1d68a, 0x1d7f6, 0, 0],
};

/**
 * Return a character in an alphabet, or itself where that alphabet lacks it.
 *
 * @param {string} character
 * @param {string} alphabet a key of `ALPHABETS`; anything else changes nothing
 */
export function inAlphabet(character, alphabet) {
  const [capitals, small, digits, capitalGreek, smallGreek, elsewhere = ""] = ALPHABETS[alphabet] ?? [0, 0, 0, 0, 0];
  // Every second one of `elsewhere` is ASCII, and only those are looked for.
  const found = character < "\x7f" ? elsewhere.indexOf(character) : -1;
  if (found >= 0) return elsewhere.charAt(found + 1);
  const runs = /** @type {const} */ ([
    ["ABCDEFGHIJKLMNOPQRSTUVWXYZ", capitals],
    ["abcdefghijklmnopqrstuvwxyz", small],
    ["0123456789", digits],
    [CAPITAL_GREEK, capitalGreek],
    [SMALL_GREEK, smallGreek],
  ]);
  for (const [run, start] of runs) {
    const at = run.indexOf(character);
    if (start && at >= 0) return String.fromCodePoint(start + at);
  }
  return character;
}
