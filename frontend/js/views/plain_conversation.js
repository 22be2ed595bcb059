/** The messages as mere text: what is shown until the views of messages are loaded, however long that takes. */

import { words } from "../words/index.js";
import { element } from "./element.js";

/**
 * @param {HTMLElement} root
 * @param {import("../chat.js").Chat} chat
 */
export function drawPlainly(root, { state, connection }) {
  const articles = state.messages.map((message) => {
    const article = element("article", { className: "message user" }, element("p", {}, message.content));
    if (message.role === "user") return article;
    article.className = "message answer unrendered";
    const said = message.end ? words.ending(message)?.text : words.waiting(message, connection);
    if (said) article.append(element("p", { className: "waiting" }, said));
    return article;
  });
  root.replaceChildren(...articles);
}
