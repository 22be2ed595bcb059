/**
 * The test's side of `scripted_server.py`: a server that answers exactly what a test wrote down.
 *
 * @typedef {object} Reply
 * @property {number} [status] 200
 * @property {Record<string, string>} [headers] beside the content type, which is that of an event stream
 * @property {(string | {hex: string} | "WAIT")[]} [body] each piece is one write; "WAIT" waits for `release()`
 * @property {"end" | "cut" | "reset" | "hold"} [then] end the body well; leave it unfinished; reset the connection;
 *   or keep it open until the client hangs up
 * @property {boolean} [silent] send no headers either: only `then` happens
 *
 * @typedef {{method: string, path: string, lastEventId: string | null, body: any, hungUp: boolean}} Request
 */

let count = 0;

/**
 * Write down the replies to the next requests, in order; a request beyond them is answered with 500.
 *
 * @param {...Reply} replies
 */
export async function scripted(...replies) {
  count += 1;
  const key = `${Date.now()}-${count}`;
  await fetch(`/script/${key}`, { method: "PUT", body: JSON.stringify(replies) });
  const requests = async () => /** @type {Request[]} */ (await (await fetch(`/script/${key}`)).json());
  return {
    url: `/scripted/${key}/chat`,
    requests,
    release: () => fetch(`/script/${key}/release`, { method: "POST" }),
    /** Resolve when the requests satisfy a condition. @param {(requests: Request[]) => unknown} condition */
    async until(condition) {
      while (!condition(await requests())) await new Promise((resolve) => setTimeout(resolve, 10));
    },
  };
}
