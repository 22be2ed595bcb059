/** The button that changes the theme; it shows and says which one is in use. */

import { nextTheme, theme } from "../theme.js";
import { words } from "../words/index.js";

export class ThemeButton {
  #button;
  #say;

  /**
   * @param {HTMLElement} button
   * @param {(text: string) => void} say tells those who listen to the page
   */
  constructor(button, say) {
    this.#button = button;
    this.#say = say;
    button.addEventListener("click", () => this.#next());
    this.#draw();
  }

  #next() {
    nextTheme();
    this.#draw();
    this.#say(words.themes[theme]);
  }

  #draw() {
    this.#button.ariaLabel = this.#button.title = words.themes[theme];
  }
}
