import { mathElement } from "../js/markdown/maths.js";
import { equal, ok, test } from "./harness.js";
import { linearFault } from "./linear.js";

/**
 * Write a tree compactly: `mi`, `mn`, `mo` and `mtext` as their text, quoted with attributes as `[…]`, `mrow` as
 * `(…)`, and others as `name(…)`.
 *
 * @param {Element} node
 * @returns {string}
 */
function written(node) {
  const attributes = Array.from(node.attributes, ({ name, value }) => `${name}=${value}`).join(" ");
  const name = /^(mi|mn|mo)$/.test(node.localName) ? "" : node.localName === "mrow" ? "" : node.localName;
  const inner = node.children.length ? Array.from(node.children, written).join(" ") : node.textContent;
  const leaf = /^(mi|mn|mo)$/.test(node.localName);
  return `${name}${leaf ? inner : `(${inner})`}${attributes && `[${attributes}]`}`;
}

/**
 * The formula without its `math` and `semantics`; null when it is not understood.
 *
 * @param {string} source
 */
function tree(source, display = false) {
  const math = mathElement(source, display);
  const content = math?.firstElementChild?.firstElementChild;
  return content ? written(content) : null;
}

/**
 * @param {string} source
 * @param {string} expected
 */
function gives(source, expected) {
  test(`tree of ${source}`, () => equal(tree(source), expected));
}

gives("x", "x");
gives("2x", "(2 x)");
gives("3.14r", "(3.14 r)");
gives(".5", ".5");
gives("1{,}000", "(1 ,[lspace=0 rspace=0] 000)");
gives("\\frac{a}{b}", "mfrac(a b)");
gives("\\frac12", "mfrac(1 2)");
gives("\\frac\\pi2", "mfrac(π 2)");
gives("\\dfrac12", "mfrac(1 2)[displaystyle=true]");
gives("{a \\over b}", "mfrac(a b)");
gives("\\binom nk", "(([stretchy=true form=prefix] mfrac(n k)[linethickness=0] )[stretchy=true form=postfix])");
gives("\\sqrt2", "msqrt(2)");
gives("\\sqrt[3]{x}", "mroot(x 3)");
gives("x^2", "msup(x 2)");
gives("10^25", "(msup(10 2) 5)");
gives("x_i^2", "msubsup(x i 2)");
gives("x^2_i", "msubsup(x i 2)");
gives("f'", "msup(f ′[lspace=0 rspace=0])");
gives("f''^2", "msup(f (′′[lspace=0 rspace=0] 2))");
gives("^2", "msup(() 2)");
gives("x_{n+1}", "msub(x (n +[lspace=0 rspace=0] 1))");
gives("a = -b", "(a = −[lspace=0 rspace=0] b)");
gives("a - b", "(a − b)");
gives("a := b \\le c", "(a := b ≤ c)");
gives("\\sum_{i=1}^n i", "(munderover(∑ (i =[lspace=0 rspace=0] 1) n) i)");
gives("\\int_0^1", "msubsup(∫ 0 1)");
gives("\\int\\limits_0^1", "munderover(∫[movablelimits=false] 0 1)");
gives("\\sum\\nolimits_i", "msub(∑ i)");
gives("\\lim_{x\\to0}f", "(munder(lim[movablelimits=true lspace=0 rspace=0] (x →[lspace=0 rspace=0] 0)) mspace()[width=0.1667em] f)");
gives("2\\sin x", "(2 mspace()[width=0.1667em] sin mspace()[width=0.1667em] x)");
gives("\\sin(x)", "(sin ([stretchy=false] x )[stretchy=false])");
gives("\\operatorname{softmax}(z)", "(softmax ([stretchy=false] z )[stretchy=false])");
gives("\\operatorname*{argmax}_x", "munder(argmax[movablelimits=true lspace=0 rspace=0] x)");
gives("|x|", "(|[stretchy=false form=prefix] x |[stretchy=false form=postfix])");
gives("\\left(\\frac12\\right.", "(([stretchy=true form=prefix] mfrac(1 2))");
gives(
  "\\left\\{x\\middle|y\\right\\}",
  "({[stretchy=true form=prefix] x |[stretchy=true form=infix lspace=0.1667em rspace=0.1667em] y }[stretchy=true form=postfix])",
);
gives("\\bigl(x", "((([stretchy=true symmetric=true minsize=1.2em maxsize=1.2em lspace=0 rspace=0]) x)");
gives("\\begin{matrix}a&b\\\\c&d\\end{matrix}", "mtable(mtr(mtd(a) mtd(b)) mtr(mtd(c) mtd(d)))");
gives("\\begin{pmatrix}1\\\\2\\\\\\end{pmatrix}", "(([stretchy=true form=prefix] mtable(mtr(mtd(1)) mtr(mtd(2))) )[stretchy=true form=postfix])");
gives(
  "\\begin{array}{c|r}a&b\\\\[4pt]\\hline c&d\\end{array}",
  "mtable(mtr(mtd(a) mtd(b)[class=md-right md-line]) " +
    "mtr(mtd(c)[class=md-rule] mtd(d)[class=md-rule md-right md-line]))[class=md-array]",
);
gives(
  "\\begin{aligned}a&=b\\\\&+c\\end{aligned}",
  "mtable(mtr(mtd(a) mtd(= b)) mtr(mtd() mtd(+[form=infix] c)))[class=md-aligned displaystyle=true]",
);
gives(
  "\\begin{cases}1&x\\\\2&y\\end{cases}",
  "({[stretchy=true form=prefix] mtable(mtr(mtd(1)[class=md-left] mtd(x)[class=md-left]) " +
    "mtr(mtd(2)[class=md-left] mtd(y)[class=md-left]))[class=md-cases])",
);
gives("\\begin{equation}x\\end{equation}", "x");
gives("a \\\\ b", "mtable(mtr(mtd(a)) mtr(mtd(b)))");
gives("\\text{if } x", "(mtext(if\u00a0) x)");
gives("\\text{a $b_1$ \\textbf{c}}", "(mtext(a\u00a0) msub(b 1) mtext(\u00a0) mtext(c)[class=md-bold])");
gives("\\mathrm{kg}\\,\\mathrm d", "(kg mspace()[width=0.1667em] d[mathvariant=normal])");
gives("\\mathbb{RC}", "(ℝ ℂ)");
gives("\\mathcal{L}\\mathfrak{g}\\mathbf{x1}\\mathsf A\\mathtt a", "(ℒ 𝔤 (𝐱 𝟏) 𝖠 𝚊)");
gives("\\boldsymbol{\\beta}\\bm x\\mathit{hi}", "(𝜷 𝒙 ℎ𝑖)");
gives("\\Gamma\\gamma\\varepsilon", "(Γ[mathvariant=normal] γ ε)");
gives("\\hat x", "mover(x ^[stretchy=false])[accent=true]");
gives("\\overline{AB}", "mover((A B) ‾[stretchy=true])[accent=true class=md-overline]");
gives("\\underbrace{x}_n", "munder(munder(x ⏟[stretchy=true])[accentunder=true] n)");
gives("a\\overset!=b", "(a mover(= ![lspace=0 rspace=0]) b)");
gives("\\overset{ab}=", "mover(= (mspace()[width=0.4em] (a b) mspace()[width=0.4em]))");
gives("\\xrightarrow{f}", "mover(→[stretchy=true] (mspace()[width=0.4em] f mspace()[width=0.4em]))");
gives("\\not= \\not\\in", "≠∉");
gives("a\\pmod n", "(a (mspace()[width=0.5em] ([stretchy=false] mod mspace()[width=0.3333em] n )[stretchy=false]))");
gives("\\displaystyle x", "mstyle(x)[displaystyle=true scriptlevel=0]");
gives("\\boxed{x}", "(x)[class=md-boxed]");
gives("x\\tag{1}", "(x (mspace()[width=2em] mtext(() mtext(1) mtext())))");
gives("x \\label{eq:1} % comment", "x");
gives("50% x", "(50 % x)");
gives("1 + \\dots + n, \\dots", "(1 + ⋯ + n , …)");
gives("α ≤ √ β", "(α ≤ √ β)");
gives("\\color{red}x\\textcolor{blue}{y}", "(x y)");
gives("f^{\\prime}", "msup(f ′[lspace=0 rspace=0])");
gives("\\ket x", "(|[stretchy=true form=prefix] x ⟩[stretchy=true form=postfix])");
gives("\\cancelto{0}{x}", "msup((x)[class=md-cancel] 0)");
gives("\\vphantom{x}y", "(mpadded(mphantom(x))[width=0] y)");
gives("\\begin{matrix*}[r]1\\\\2\\end{matrix*}", "mtable(mtr(mtd(1)[class=md-right]) mtr(mtd(2)[class=md-right]))");
gives("\\begin{array}{c}1\\\\\\cline{1-1}2\\end{array}", "mtable(mtr(mtd(1)) mtr(mtd(2)[class=md-rule]))[class=md-array]");

/**
 * What is shown of a formula of which more may come.
 *
 * @param {string} source
 * @param {string | null} expected
 */
function givesOpen(source, expected) {
  test(`tree of ${source} while it is open`, () => {
    const content = mathElement(source, false, { isOpen: true })?.firstElementChild?.firstElementChild;
    equal(content ? written(content) : null, expected);
  });
}

givesOpen("", "mtable()");
givesOpen("x + \\fra", "(x +)");
givesOpen("x \\\\", "x");
givesOpen("x \\\\[4p", "x");
givesOpen("\\frac", "mtable()");
givesOpen("\\frac{a", "mfrac(a ())");
givesOpen("\\frac{a}{b + \\sqrt[3]", "mfrac(a (b + mroot(() 3)))");
givesOpen("x^", "msup(x ())");
givesOpen("x_{i", "msub(x i)");
givesOpen("\\left( a", "(([stretchy=true form=prefix] a)");
givesOpen("a + \\left", "(a +)");
givesOpen("a + \\hspace{1e", "(a +)");
givesOpen("\\text{if ", "mtext(if\u00a0)");
givesOpen("\\text{if $x", "(mtext(if\u00a0) x)");
givesOpen("\\text{if $x$} y$", "((mtext(if\u00a0) x) y)");
givesOpen("\\begin{ali", "mtable()");
givesOpen("\\begin{matrix}a & b \\\\ c", "mtable(mtr(mtd(a) mtd(b)) mtr(mtd(c)))");
givesOpen("\\begin{matrix}a\\\\b\\\\ \\end{mat", "mtable(mtr(mtd(a)) mtr(mtd(b)))");
givesOpen("\\begin{array}{c", "mtable()");
givesOpen("x + \\unknown y", null);
givesOpen("x }", null);

test("a formula carries its source, and says whether it is a display", () => {
  const math = mathElement("x^2", true);
  equal(math?.namespaceURI, "http://www.w3.org/1998/Math/MathML");
  equal(math?.getAttribute("display"), "block");
  equal(math?.querySelector("annotation[encoding='application/x-tex']")?.textContent, "x^2");
  equal(mathElement("x", false)?.getAttribute("display"), null);
});

// As language models write them.
const CORPUS = String.raw`
E = mc^2
a^2 + b^2 = c^2
x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}
e^{i\pi} + 1 = 0
\sum_{n=1}^{\infty} \frac{1}{n^2} = \frac{\pi^2}{6}
\int_{-\infty}^{\infty} e^{-x^2} \, dx = \sqrt{\pi}
\lim_{x \to 0} \frac{\sin x}{x} = 1
\lim_{n \to \infty} \left(1 + \frac{1}{n}\right)^n = e
f'(x) = \lim_{h \to 0} \frac{f(x+h) - f(x)}{h}
\frac{d}{dx}\left[ x^n \right] = n x^{n-1}
\frac{\partial f}{\partial x}, \quad \frac{\partial^2 u}{\partial t^2} = c^2 \nabla^2 u
\nabla \cdot \mathbf{E} = \frac{\rho}{\varepsilon_0}
\nabla \times \vec{B} = \mu_0 \vec{J} + \mu_0 \varepsilon_0 \frac{\partial \vec{E}}{\partial t}
\oint_{\partial S} \mathbf{B} \cdot d\boldsymbol{\ell} = \mu_0 I_{\text{enc}}
i\hbar \frac{\partial}{\partial t} \Psi(\mathbf{r}, t) = \hat{H} \Psi(\mathbf{r}, t)
\langle \psi | \hat{A} | \psi \rangle
\left\langle \phi \middle| \psi \right\rangle
P(A \mid B) = \frac{P(B \mid A)\, P(A)}{P(B)}
\mathbb{E}[X] = \sum_{i} x_i \, p(x_i)
\operatorname{Var}(X) = \mathbb{E}\left[(X - \mu)^2\right]
\mathcal{N}(\mu, \sigma^2)
f(x) = \frac{1}{\sigma\sqrt{2\pi}} \exp\left(-\frac{(x-\mu)^2}{2\sigma^2}\right)
\text{Attention}(Q, K, V) = \text{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V
\mathrm{softmax}(z)_i = \frac{e^{z_i}}{\sum_{j=1}^{K} e^{z_j}}
\mathcal{L}(\theta) = -\frac{1}{N}\sum_{i=1}^N \left[ y_i \log \hat{y}_i + (1-y_i)\log(1-\hat{y}_i) \right]
\theta_{t+1} = \theta_t - \eta \nabla_\theta J(\theta_t)
\hat{\theta} = \arg\max_{\theta} \mathcal{L}(\theta)
\underset{x \in \mathbb{R}^n}{\arg\min} \; \|Ax - b\|_2^2
D_{\mathrm{KL}}(P \,\|\, Q) = \sum_{x} P(x) \log \frac{P(x)}{Q(x)}
\begin{pmatrix} a & b \\ c & d \end{pmatrix}
A = \begin{bmatrix} 1 & 2 & 3 \\ 4 & 5 & 6 \\ 7 & 8 & 9 \end{bmatrix}
\det(A) = \begin{vmatrix} a & b \\ c & d \end{vmatrix} = ad - bc
\begin{bmatrix} a_{11} & \cdots & a_{1n} \\ \vdots & \ddots & \vdots \\ a_{m1} & \cdots & a_{mn} \end{bmatrix}
\left[\begin{array}{cc|c} 1 & 2 & 3 \\ 4 & 5 & 6 \end{array}\right]
\bigl(\begin{smallmatrix} a & b \\ c & d \end{smallmatrix}\bigr)
f(x) = \begin{cases} x^2 & \text{if } x \geq 0 \\ -x & \text{otherwise} \end{cases}
|x| = \begin{cases} x, & x \ge 0, \\ -x, & x < 0. \end{cases}
\begin{aligned} (a+b)^2 &= a^2 + 2ab + b^2 \\ (a-b)^2 &= a^2 - 2ab + b^2 \end{aligned}
\begin{align} x &= 1 \\ y &= 2 \end{align}
\begin{align*} 2x + 3y &= 7 \\ x - y &= 1 \end{align*}
\begin{equation} E = mc^2 \label{eq:e} \end{equation}
\begin{gathered} a = b \\ c = d \end{gathered}
\begin{split} a &= b + c \\ &= d \end{split}
\begin{aligned} \dot{x} &= \sigma(y - x), \\[4pt] \dot{y} &= x(\rho - z) - y \end{aligned}
\binom{n}{k} = \frac{n!}{k!(n-k)!}
(x + y)^n = \sum_{k=0}^{n} \binom{n}{k} x^{n-k} y^k
n! = \prod_{k=1}^{n} k
\sqrt[3]{27} = 3
\sqrt{\frac{a}{b}}
\log_2 8 = 3
O(n \log n)
\Theta(n^2), \Omega(n), o(1)
T(n) = 2T\left(\frac{n}{2}\right) + O(n)
\forall \varepsilon > 0 \; \exists \delta > 0 : |x - a| < \delta \implies |f(x) - L| < \varepsilon
A \cup B, \quad A \cap B, \quad A \setminus B, \quad A^c
\{ x \in \mathbb{R} \mid x > 0 \}
\emptyset \subseteq A \subset B
x \notin A, \; y \not\in B
p \land q \lor \neg r \Rightarrow s
p \iff q, \; \therefore \; \lnot p \oplus q
a \equiv b \pmod{n}
a \bmod b
\gcd(a, b) = \gcd(b, a \bmod b)
\lfloor x \rfloor + \lceil y \rceil
90^\circ, \ 45^{\circ}
\sin^2\theta + \cos^2\theta = 1
\tan\alpha = \frac{\sin\alpha}{\cos\alpha}
\cosh x = \frac{e^x + e^{-x}}{2}
\vec{a} \cdot \vec{b} = |\vec{a}||\vec{b}|\cos\theta
\mathbf{u} \times \mathbf{v}
\overrightarrow{AB} = \overline{CD}
\bar{x} = \frac{1}{n}\sum_{i=1}^n x_i
\widehat{ABC}, \widetilde{X}, \tilde{y}, \check z, \breve w
\underbrace{1 + 1 + \cdots + 1}_{n \text{ times}} = n
\overbrace{a + b}^{\text{sum}}
A \xrightarrow{f} B \xleftarrow[h]{g} C
\overset{\text{def}}{=} \quad \stackrel{?}{=} \quad \triangleq \quad \coloneqq
\sum_{\substack{1 \le i \le n \\ i \ne j}} a_{ij}
\iint_D f(x,y) \, dA = \iiint_V g \, dV
\left. \frac{x^3}{3} \right|_0^1 = \frac{1}{3}
\left.\frac{dy}{dx}\right|_{x=0}
\Bigg( \bigg[ \Big\{ \big| x \big| \Big\} \bigg] \Bigg)
\boxed{x = 42}
\displaystyle \sum_{i=1}^n i = \frac{n(n+1)}{2}
\tfrac{1}{2} mv^2 + \dfrac{p^2}{2m}
\cfrac{1}{1 + \cfrac{1}{1 + \cfrac{1}{x}}}
x_{1,2} = \pm 1
x_1, x_2, \ldots, x_n
1 + 2 + \dots + n
f: A \to B, \; x \mapsto x^2
f \colon \mathbb{N} \to \mathbb{Z}
\mathrm{H_2O} \quad \mathrm{CO_2}
9.81\,\text{m/s}^2
5 \times 10^{-3}\ \text{kg}
1{,}000{,}000 \approx 10^6
\$100 \times 1.05^{10} \approx \$162.89
50\% \text{ of } 200 = 100
\text{Speed} = \frac{\text{Distance}}{\text{Time}}
\frac{\cancel{3}}{\cancel{6}} = \frac12
R_{\mu\nu} - \tfrac{1}{2} R g_{\mu\nu} + \Lambda g_{\mu\nu} = \frac{8\pi G}{c^4} T_{\mu\nu}
{}^{14}_{6}\mathrm{C} \rightarrow {}^{14}_{7}\mathrm{N} + e^- + \bar{\nu}_e
\zeta(s) = \prod_{p \text{ prime}} \frac{1}{1 - p^{-s}}
\Gamma(z) = \int_0^\infty t^{z-1} e^{-t}\,\mathrm{d}t
\hat{f}(\xi) = \int_{\mathbb{R}} f(x)\, e^{-2\pi i x \xi}\, dx
\mathfrak{g}, \mathscr{F}, \mathsf{P} \ne \mathsf{NP}, \mathtt{code}
\varphi = \frac{1 + \sqrt{5}}{2} \approx 1.618
F_n = F_{n-1} + F_{n-2} \tag{1}
y = \beta_0 + \beta_1 x_1 + \epsilon, \quad \epsilon \sim \mathcal{N}(0, \sigma^2)
H_0: \mu = \mu_0 \quad \text{vs.} \quad H_1: \mu \neq \mu_0
\max_{1 \leq i \leq n} |x_i|, \; \inf_{x} f, \; \limsup_{n\to\infty} a_n
\begin{Vmatrix} x \end{Vmatrix} \le \begin{Bmatrix} y \end{Bmatrix}
\begin{array}{c|c|c} p & q & p \land q \\ \hline T & T & T \\ T & F & F \\ \hline \end{array}
X \sim \operatorname{Bin}(n, p), \quad \Pr(X = k)
x^{2^{n}}, \; a_{i_j}, \; {x^a}^b, \; x''
\begin{cases} 2x + y = 5 \\ x - y = 1 \end{cases}
\int_a^b f(x)\,dx = F(b) - F(a) = \Big[F(x)\Big]_a^b
ax^2+bx+c=0,\ a\neq0
a \! b \, c \: d \; e \quad f \qquad g ~ h \ i
μ = 5 µm, ∑ xᵢ ≤ ∞
\left( \sum_{k=1}^n a_k b_k \right)^{\!2} \leq \left( \sum a_k^2 \right) \left( \sum b_k^2 \right)
\mathbf{\Sigma}^{-1}\boldsymbol{\mu}^{\mathsf{T}} \mathbf{W}^{(l)}
速度 = \frac{距离}{时间}
\frac{\mathrm{d}y}{\mathrm{d}x} = \lim_{\Delta x \to 0} \frac{\Delta y}{\Delta x}
\begin{array}{|c|c|} \hline x & y \\ \cline{1-2} 1 & 2 \\ \hline \end{array}
X_1,\dots,X_n \overset{\text{iid}}{\sim} \mathcal{N}(0,1), \; X \perp\!\!\!\perp Y \mid Z
\mathbbm{1}_{\{x > 0\}}, \bold{x}, \Bbb{R}
f^{\prime}(x) + y^{\prime\prime}
\mathrm{CH_3COOH \rightleftharpoons CH_3COO^- + H^+}
25\,^\circ\mathrm{C}, 90\degree, 9.81\;\text{m/s}^2
\lVert x \rVert_2, \abs{x} \le \norm{x}, \braket{a|b}
\begin{pmatrix*}[r] 1 & -1 \\ -10 & 2 \end{pmatrix*}
\left\lVert \vphantom{\frac{a}{b}} x \right\rVert \smash{y}
\lim_{x \to 0} \cancelto{1}{\frac{\sin x}{x}} + \xcancel{y}
\large \mathopen{(} x \mathclose{)}
`
  .trim()
  .split("\n");

for (const source of CORPUS) test(`understood: ${source}`, () => ok(mathElement(source, true), "is null"));

test("the corpus is of a size", () => ok(CORPUS.length >= 80, String(CORPUS.length)));

test("no formula of the corpus, cut anywhere, throws, and each is understood while it is open", () => {
  for (const source of CORPUS) {
    for (let end = 0; end <= source.length; end += 1) {
      const start = source.slice(0, end);
      mathElement(start, false);
      ok(mathElement(start, false, { isOpen: true }), start);
    }
  }
});

const ALLOWED_ATTRIBUTES = new Set(
  "accent accentunder class display displaystyle encoding form linethickness lspace mathvariant maxsize minsize movablelimits rspace scriptlevel stretchy symmetric width".split(" "),
);

test("nothing but MathML with its fixed attributes is made", () => {
  for (const source of CORPUS) {
    for (const node of mathElement(source, true)?.querySelectorAll("*") ?? []) {
      equal(node.namespaceURI, "http://www.w3.org/1998/Math/MathML");
      for (const { name, value } of node.attributes) ok(ALLOWED_ATTRIBUTES.has(name), `${name}=${value}`);
      for (const name of node.classList) ok(/^md-[a-z-]+$/.test(name), name);
    }
  }
});

const REFUSED = String.raw`
\href{javascript:x}{y}
\url{https://example.org}
\includegraphics{x.png}
\htmlData{x=1}{y}
\htmlId{a}{b}
\class{a}{b}
\style{color:red}{x}
\def\x{1}
\newcommand{\x}{1}
\ce{H2O}
\input{file}
\unknown
\constructor
\__proto__
\toString x
\begin{constructor}x\end{constructor}
\begin{verbatim}x\end{verbatim}
\frac{1}
\frac
\sqrt
\sqrt[3]
\sqrt[3
x^
x_
x^a^b
x_a_b
x^_2
{
}
{x
x}
a & b
\left( x
\left x \right)
x \right)
\left\alpha x \right)
\left{ x \right}
\middle|
\begin{matrix} a
\begin{matrix} a \end{pmatrix}
\begin{matrix} {a & b} \end{matrix}
\end{matrix}
\begin{array} a \end{array}
\begin{array}{xyz} a \end{array}
\text{a
\text a
\text{$x}
\text{\frac12}
$
#1
\hspace{-1em}
\hspace{999em}
\hspace{1em;color:red}
\not x
\operatorname{}
\mathbb
\hat
\big x
\
`
  .split("\n")
  .filter(Boolean);

for (const source of REFUSED) test(`refused: ${source}`, () => equal(tree(source), null));

test("nothing at all, and what nobody sees, is refused", () => {
  for (const source of ["", "  ", "% only a comment\n", "{}", "a\u202eb", "a\u200bb", "\u0000", "\ud800"]) {
    equal(tree(source), null);
  }
});

const hostile = await (await fetch(new URL("hostile_markdown.json", import.meta.url))).json();

test("hostile formulas are refused", () => {
  const { input } = hostile.find((/** @type {{class: string}} */ vector) => vector.class === "math-katex-href");
  const formulas = [...input.matchAll(/\$+([^$]+)\$+/g)].map(([, source]) => source);
  equal(formulas.length, 3);
  for (const source of formulas) equal(mathElement(source, false), null);
});

test("depth is bounded", () => {
  /** @type {[string, string][]} */
  const nestings = [
    ["{", "}"],
    ["\\frac{", "}1"],
    ["\\sqrt[", "]x"],
    ["x^{", "}"],
    ["\\left(", "\\right)"],
    ["\\text{\\textbf{$", "$}}"],
    ["\\begin{matrix}", "\\end{matrix}"],
    ["\\displaystyle ", ""],
    ["\\hat ", ""],
    ["\\substack{", "}"],
  ];
  for (const [open, close] of nestings) {
    const of = (/** @type {number} */ levels) => mathElement(`${open.repeat(levels)}x${close.repeat(levels)}`, false);
    ok(of(10), open);
    equal(of(51), null);
    equal(of(20_000), null);
  }
});

test("time is linear in the length of a bomb", () => {
  const pieces = ["{", "}", "^", "_", "\\frac", "\\frac{", "x^", "\\left(", "x'", "{}", "\\not", "x", "7", "7.", "\\,", "&", "\\\\", "%", "%\n"];
  pieces.push("\\sqrt[", "[", "a+", "\\text{", "\\begin{matrix}", "\\begin{array}{", "x_1", "$", "\\hline", "\\limits", "\u0301", " ", "|", "=", "\\\\[");
  pieces.push("\\begin{matrix}x\\end{matrix}", "\\begin{aligned}", "\\text{x}", "\\over ", "\\displaystyle ", "\\color{", "\\mathrm{a", "\\hspace{1em}");
  for (const piece of pieces) {
    const make = (/** @type {number} */ length) => piece.repeat(Math.ceil(length / piece.length));
    equal([piece, linearFault((source) => mathElement(source, false), make(40_000), make(10_000))], [piece, null]);
  }
});
