/** Which addresses a link may lead to, and how they are written. */

const ALLOWED = new Set(["http:", "https:", "mailto:"]);

/**
 * Return where a destination leads, or null where no link may be made of it.
 *
 * The check is the browser's own reading of the address, so that no trick of spelling (case, tabs, entities) gets past.
 *
 * @param {string} destination
 * @returns {{href: string, host: string} | null} `host` is what is really asked: a host, or a mail address
 */
export function safeLink(destination) {
  const written = encodeDestination(destination);
  const url = parse(written);
  if (!url || !ALLOWED.has(url.protocol)) return null;
  // Written as if it led to this site, but it does not: say so.
  const href = /^\/\//.test(written) ? url.href : written;
  return { href, host: url.protocol === "mailto:" ? url.pathname : url.host };
}

/** @param {string} address */
function parse(address) {
  try {
    return new URL(address, document.baseURI);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return null;
  }
}

/**
 * Percent-encode what may not stand in an address, as CommonMark's own examples do, and leave what is encoded.
 *
 * @param {string} destination
 */
export function encodeDestination(destination) {
  return destination
    .toWellFormed()
    .replace(/%(?![0-9a-f]{2})|[^\w\-.!~*'();/?:@&=+$,#%]+/gi, (run) => encodeURIComponent(run));
}
