import { MAX_IMAGE_SIZE } from "../../erofs/format.ts";
import { CfsError } from "../../errors.ts";
import { importImage } from "../../repository/images.ts";
import { read } from "../../sys/file.ts";
import { formatObjectId } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { openRepository } from "../repository.ts";

const STDIN = 0;
const READ_SIZE = 1024 * 1024;

/** `cfsctl import-image REFERENCE < IMAGE` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  // Before the input is awaited: it may take long.
  repository.ensureWritable();
  const id = importImage(repository, readAll(STDIN, MAX_IMAGE_SIZE), args.required("REFERENCE"));
  context.out.line(formatObjectId(id, repository.algorithm));
}

function readAll(fd: number, max: number): Uint8Array {
  const buffer = new Uint8Array(READ_SIZE);
  const pieces: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const length = read(fd, buffer, "standard input");
    if (length === 0) return Buffer.concat(pieces);
    total += length;
    if (total > max) throw new CfsError("Invalid", `the image on standard input is larger than ${max} bytes`);
    pieces.push(buffer.slice(0, length));
  }
}
