import { bytesOf } from "../../src/bytes.ts";

/** An entry of a tar to be made. Texts hold one character per byte. */
export interface TarItem {
  readonly path: string;
  readonly type?: "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";
  readonly body?: Uint8Array;
  /** What a symlink or hardlink points to. */
  readonly target?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds. */
  readonly mtime?: number;
  /** Fraction of the modification time, as it stands after the point: at most nine digits. */
  readonly fraction?: string;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly device?: readonly [major: number, minor: number];
  /** What the header says instead of the body's size. */
  readonly claimedSize?: bigint;
}

const TYPE_FLAGS = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
} as const;

const MTIME = 1_700_000_000;

/** A ustar archive with pax headers where ustar has no room. */
export function writeTar(items: readonly TarItem[]): Buffer {
  return Buffer.concat([...items.flatMap(entry), new Uint8Array(1024)]);
}

export const directory = (path: string, more: Partial<TarItem> = {}): TarItem => ({
  path,
  type: "directory",
  mode: 0o755,
  ...more,
});

export const file = (path: string, body: Uint8Array | string, more: Partial<TarItem> = {}): TarItem => ({
  path,
  body: typeof body === "string" ? bytesOf(body) : body,
  ...more,
});

/** Bytes that do not compress and are the same for the same seed. */
export function noise(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const words = new Uint32Array(bytes.buffer, 0, size >> 2);
  let state = (Math.imul(seed, 0x9e3779b1) | 1) >>> 0;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return bytes;
}

function entry(item: TarItem): Uint8Array[] {
  const { path, target = "", body = new Uint8Array(0) } = item;
  const records = paxRecords(item);
  const extension =
    records === ""
      ? []
      : padded(header({ path: "PaxHeaders/entry" }, "x", BigInt(records.length), ""), bytesOf(records));
  const flag = TYPE_FLAGS[item.type ?? "file"];
  const size = item.claimedSize ?? BigInt(body.length);
  return [
    ...extension,
    ...padded(header({ ...item, path: path.slice(0, 100) }, flag, size, target.slice(0, 100)), body),
  ];
}

function padded(head: Uint8Array, body: Uint8Array): Uint8Array[] {
  return [head, body, new Uint8Array((512 - (body.length % 512)) % 512)];
}

function paxRecords({ path, target = "", mtime = MTIME, fraction, xattrs = {} }: TarItem): string {
  const records: [string, string][] = [];
  if (path.length > 100) records.push(["path", path]);
  if (target.length > 100) records.push(["linkpath", target]);
  if (fraction !== undefined) records.push(["mtime", `${mtime}.${fraction}`]);
  for (const [name, value] of Object.entries(xattrs)) records.push([`SCHILY.xattr.${name}`, value]);
  return records.map(([key, value]) => paxRecord(key, value)).join("");
}

function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return `${length}${rest}`;
}

function header(item: TarItem, flag: string, size: bigint, target: string): Uint8Array {
  const { path, mode = 0o644, uid = 0, gid = 0, mtime = MTIME, device = [0, 0] } = item;
  const block = new Uint8Array(512);
  const put = (offset: number, text: string) => block.set(bytesOf(text), offset);
  const octal = (offset: number, length: number, value: number | bigint) =>
    put(offset, value.toString(8).padStart(length - 1, "0"));
  put(0, path);
  octal(100, 8, mode);
  octal(108, 8, uid);
  octal(116, 8, gid);
  if (size < 1n << 33n) octal(124, 12, size);
  else new DataView(block.buffer).setBigUint64(128, size);
  if (size >= 1n << 33n) block[124] = 0x80;
  octal(136, 12, mtime);
  put(156, flag);
  put(157, target);
  put(257, "ustar\x0000");
  octal(329, 8, device[0]);
  octal(337, 8, device[1]);
  put(148, "        ");
  octal(
    148,
    7,
    block.reduce((sum, byte) => sum + byte, 0),
  );
  block[154] = 0;
  return block;
}
