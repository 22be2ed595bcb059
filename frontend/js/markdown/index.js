/**
 * Shows Markdown while it arrives.
 *
 * @param {Element} root an empty element, which then belongs to the renderer
 * @returns {{write(text: string): void, end(): void}}
 */
export function createRenderer(root) {
  const paragraph = document.createElement("p");
  root.append(paragraph);
  return {
    write: (text) => paragraph.append(text),
    end() {},
  };
}
