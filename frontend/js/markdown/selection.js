/**
 * Move nodes about without losing what the reader has selected in them: a browser lets go of a node that is moved.
 *
 * @param {() => void} move takes nodes out of the document and puts them in again
 */
export function keepSelection(move) {
  const selection = document.getSelection();
  if (!selection || selection.isCollapsed) return move();
  const { anchorNode, anchorOffset, focusNode, focusOffset } = selection;
  move();
  if (!anchorNode?.isConnected || !focusNode?.isConnected) return;
  if (selection.anchorNode !== anchorNode || selection.focusNode !== focusNode) {
    selection.setBaseAndExtent(anchorNode, anchorOffset, focusNode, focusOffset);
  }
}
