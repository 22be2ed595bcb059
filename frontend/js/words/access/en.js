/** What is said of keys and sessions, in English. Another language is a module with the same exports. */

export const dialog = {
  title: "This server asks for a key",
  note: "Whoever runs it can give you one. This browser stays logged in with it, and does not keep the key itself.",
  revoked: "The key that you were logged in with is not valid any more. Whoever runs the server can give you another one.",
  ended: "You were logged in, but your key is not valid any more, or the login has expired.",
  key: "Key",
  show: "Show the key",
  later: "Not now",
  logIn: "Log in",
};

/** Why the reader is not let in. */
export const refusals = {
  missing: "Type or paste the key first.",
  wrong: "The server does not know this key.",
  tooMany: (/** @type {string} */ when) => `Too many wrong keys. You can try again ${when}.`,
  tryAgain: "You can try again now.",
  unreachable: "The server cannot be reached. Try again when the connection is back.",
  unexpected: (/** @type {number} */ status) => `The server does not take keys here (status ${status}).`,
  forgotten: "The key was right, but the server does not know this browser now. Does the browser refuse cookies of this page?",
};

export const checking = /** @type {string} */ ("Checking the key…");
export const loggedIn = /** @type {string} */ ("You are logged in.");

/** What stands over the composer while the dialog is put off. */
export const notice = {
  waits: "This server asks for a key. What you send waits for it.",
  loggedOut: "You are logged out. Your conversations stay in this browser: whoever uses it can read them.",
  notLoggedOut: "The server cannot be reached, so you are still logged in. Try again.",
};

export const logOut = /** @type {string} */ ("Log out");
