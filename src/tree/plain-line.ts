import type { ByteString } from "../bytes.ts";
import { S_IFMT } from "../mode.ts";
import type { Algorithm } from "../verity/digest.ts";
import { NO_XATTRS, type Stat } from "./model.ts";

/** A line of a dumpfile as nearly all are: of a directory, file or link whose content is elsewhere, without escapes. */
export interface PlainLine {
  readonly path: ByteString;
  /** In bytes. */
  readonly size: number;
  /** Type bits of the mode. */
  readonly type: number;
  /** Without xattrs. Equal ones are mostly the same. */
  readonly stat: Stat;
  readonly payload: ByteString;
  /** In lower case, or "-". */
  readonly digest: string;
  /** As they stand there. */
  readonly xattrs: string | undefined;
}

const MAX_STATS = 4096;

/** Reads such lines with one match of a regular expression, and a look at what earlier lines had in common. */
export class PlainLineReader {
  readonly #pattern: RegExp;
  /** By the text from mode to time. */
  readonly #stats = new Map<string, { type: number; stat: Stat }>();

  constructor({ size }: Algorithm) {
    const path = String.raw`(/[^ \\\0\r\n]{0,4095})`;
    // numbers of these lengths fit whatever they are for
    const stat = String.raw`([0-7]{1,7} \d{1,9} \d{1,9} \d{1,9} 0 \d{1,15}\.\d{1,9})`;
    const payload = String.raw`([^ \\\0\r\n]{1,4095})`;
    const digest = `(-|[0-9a-f]{${2 * size}})`;
    this.#pattern = new RegExp(
      String.raw`${path} (\d{1,15}) ${stat} ${payload} - ${digest}(?: ([^\r\n]*))?\n`,
      "y",
    );
  }

  /** Where the line behind the one that was read last begins. */
  get end(): number {
    return this.#pattern.lastIndex;
  }

  /** Undefined when the line that begins at `start` is not of this kind, or has no end. */
  read(text: string, start: number): PlainLine | undefined {
    this.#pattern.lastIndex = start;
    const parts = this.#pattern.exec(text);
    if (parts === null) return undefined;
    const { type, stat } = this.#stat(parts[3]!);
    return {
      path: parts[1]!,
      size: Number(parts[2]),
      type,
      stat,
      payload: parts[4]!,
      digest: parts[5]!,
      xattrs: parts[6],
    };
  }

  #stat(text: string): { type: number; stat: Stat } {
    let known = this.#stats.get(text);
    if (known === undefined) {
      const [octal, , uid, gid, , time] = text.split(" ");
      const mode = Number.parseInt(octal!, 8);
      const [seconds, nsec] = time!.split(".");
      const stat: Stat = {
        mode: mode & 0o7777,
        uid: Number(uid),
        gid: Number(gid),
        mtime: BigInt(seconds!),
        mtimeNsec: Number(nsec),
        xattrs: NO_XATTRS,
      };
      known = { type: mode & S_IFMT, stat };
      if (this.#stats.size === MAX_STATS) this.#stats.clear();
      this.#stats.set(text, known);
    }
    return known;
  }
}
