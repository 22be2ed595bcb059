import { StatusView } from "../js/views/status.js";
import { announcement, ending, thinkingSummary, waiting } from "../js/words/en.js";
import { anAnswer as answer } from "./answers.js";
import { withClock } from "./clock.js";
import { equal, ok, test } from "./harness.js";

test("what is waited for is said in words", () => {
  const said = (/** @type {Partial<import("../js/chat.js").Answer>} */ changes) => waiting(answer(changes), "open");
  equal(
    [1, 2, 3, 4, 11, 12, 13, 21, 22, 101].map((position) => said({ phase: "queued", position }).slice(17)),
    ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st"],
  );
  equal(said({ phase: "loading" }), "Loading the model…");
  equal(said({ phase: "prefill", percent: 30 }), "Reading your message… 30 %");
  equal(said({ phase: "answering" }), "");
  equal([said({ phase: "sending" }), said({ phase: "sending", generation: "a1" })], ["Sending…", "Waiting for the first word…"]);
  ok(waiting(answer({ phase: "answering" }), "offline").includes("offline"));
  ok(waiting(answer({ phase: "answering" }), "reconnecting").includes("Reconnecting"));
});

test("thinking tells its time, while it lasts and afterwards", () => {
  const said = (/** @type {number | null} */ thinkingMs, elapsed = 0) =>
    thinkingSummary(answer({ thinkingSince: 5000, thinkingMs }), 5000 + elapsed);
  equal([said(null, 900), said(null, 12_700), said(null, 63_000)], ["Thinking…", "Thinking… 12 s", "Thinking… 1 min 3 s"]);
  equal([said(80), said(3400), said(120_000)], ["Thought for 1 s", "Thought for 3 s", "Thought for 2 min 0 s"]);
});

test("each end but the good one is said", () => {
  equal(ending(answer({ content: "All.", end: { kind: "stop" } })), null);
  equal(announcement(answer({ content: "All.", end: { kind: "stop" } }), "open"), "The answer is complete.");
  equal(ending(answer({ end: { kind: "stop" } }))?.text, "The model gave an empty answer.");
  equal(ending(answer({ end: { kind: "stopped" } }))?.error, false);
  equal(ending(answer({ end: { kind: "length" } }))?.error, false);
  equal(ending(answer({ end: { kind: "cut" } }))?.error, true);
  equal(ending(answer({ end: { kind: "failed", code: "timeout", message: "Silent." } })), {
    text: "Silent.",
    code: "timeout",
    error: true,
  });
});

test("each announcement stands long enough to be heard, and only the newest of the state's is made", () =>
  withClock((pass) => {
    const root = document.createElement("p");
    document.body.append(root);
    const running = answer({ phase: "answering", content: "All." });
    const chats = { shown: { followed: running, connection: "open", state: { messages: [running] } } };
    const status = new StatusView(root, /** @type {import("../js/chats.js").Chats} */ (/** @type {unknown} */ (chats)));
    status.draw("");
    status.say("Copied");
    status.say("Copied");
    status.draw("Waiting: 1 message");
    Object.assign(running, { end: { kind: "stop" } });
    status.draw("");
    /** What stood there, and for how long. @type {[text: string, ms: number][]} */
    const stood = [];
    for (let ms = 0; ms < 3000; ms += 1) {
      pass(1);
      const last = stood.at(-1);
      if (last?.[0] === root.textContent) last[1] += 1;
      else stood.push([root.textContent, 1]);
    }
    const said = stood.filter(([text]) => text !== "");
    equal(
      said.map(([text]) => text),
      ["Answering…", "Copied", "Copied", "The answer is complete."],
    );
    ok(said.every(([, ms]) => ms >= 450));
    root.remove();
  }));
