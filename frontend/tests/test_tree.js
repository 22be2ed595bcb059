import { Tree } from "../js/tree.js";
import { equal, test } from "./harness.js";

/** A tree of questions, one a line of "id parent". @param {string} text */
function treeOf(text) {
  return new Tree(
    text.split(", ").map((line, index) => {
      const [id = "", parent = null] = line.split(" ");
      return { id, conversation: "c", parent, createdAt: index, role: "user", content: id };
    }),
  );
}

/** @param {import("../js/store.js").Message[]} messages */
const ids = (messages) => messages.map(({ id }) => id).join("");

test("a path goes from the root to its end", () => {
  const tree = treeOf("a, b a, c b, d b, e");
  equal([ids(tree.path("c")), ids(tree.path("d")), ids(tree.path("e")), ids(tree.path(null))], ["abc", "abd", "e", ""]);
});

test("siblings are in the order in which they came, roots, too", () => {
  const tree = treeOf("a, b a, c b, d b, e");
  const siblings = (/** @type {string} */ id) => ids(tree.siblings(/** @type {any} */ (tree.get(id))));
  equal([siblings("d"), siblings("a"), siblings("b")], ["cd", "ae", "b"]);
});

test("a path goes on with what came last", () => {
  const tree = treeOf("a, b a, c b, d b, e d, f");
  equal([tree.newestEnd("a"), tree.newestEnd("c"), tree.newestEnd(null)], ["e", "c", "f"]);
});

test("a message leads to those after it, and to itself", () => {
  const tree = treeOf("a, b a, c b, d b");
  const leads = (/** @type {string | null} */ id, /** @type {string} */ other) => tree.leadsTo(id, other);
  equal([leads("a", "d"), leads("d", "d"), leads(null, "a"), leads("d", "a"), leads("c", "d")], [true, true, true, false, false]);
});

test("a message that comes again takes the place of the one with its id", () => {
  const tree = treeOf("a, b a, c a");
  tree.add({ id: "b", conversation: "c", parent: "a", createdAt: 9, role: "user", content: "new" });
  equal(tree.path("b").at(-1)?.content, "new");
  equal(ids(tree.siblings(/** @type {any} */ (tree.get("b")))), "bc");
});

test("messages that lead to each other in a circle end nothing", () => {
  equal(ids(treeOf("a b, b a").path("a")), "ba");
});
