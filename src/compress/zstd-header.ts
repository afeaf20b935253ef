/** Longest header of a frame, with its magic number. */
export const MAX_FRAME_HEADER = 18;

/**
 * Bytes of history that a decoder keeps for a frame of Zstandard (RFC 8878 §3.1.1.1).
 * @param head the beginning of the frame, `MAX_FRAME_HEADER` bytes if there are so many.
 * @returns 0 for what is no such frame, or not all of its header.
 */
export function frameHistory(head: Uint8Array): number {
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (head.length < 6 || view.getUint32(0, true) !== 0xfd2fb528) return 0;
  const descriptor = head[4]!;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  if (!isSingleSegment) {
    const exponent = head[5]! >> 3;
    const mantissa = head[5]! & 7;
    const base = 2 ** (10 + exponent);
    return base + (base / 8) * mantissa;
  }
  return frameContentSize(head) ?? 0;
}

/** Bytes that a frame holds, if it says so. @param head as for `frameHistory`. */
export function frameContentSize(head: Uint8Array): number | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (head.length < 6 || view.getUint32(0, true) !== 0xfd2fb528) return undefined;
  const descriptor = head[4]!;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const at = (isSingleSegment ? 5 : 6) + [0, 1, 2, 4][descriptor & 3]!;
  const length = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  if (length === 0 || head.length < at + length) return undefined;
  switch (length) {
    case 1:
      return head[at]!;
    case 2:
      return view.getUint16(at, true) + 256;
    case 4:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}
