import { listImages } from "../../repository/images.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { openRepository } from "../repository.ts";

/** Characters of a digest that the table shows. */
const SHORT_DIGEST = 12;

/** `cfsctl images` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const { out } = context;
  const images = listImages(repository);
  if (args.flag("json")) {
    out.json({ images: images.map(({ name, digest }) => ({ name, digest })) });
    return;
  }
  if (images.length === 0) {
    out.line("No images found");
    return;
  }
  // `--no-trunc` is declared under its own name: there is no `--trunc`.
  const length = args.flag("no-trunc") ? undefined : SHORT_DIGEST;
  out.table(
    ["NAME", "DIGEST"],
    images.map(({ name, digest }) => [name, digest.slice(0, length)]),
  );
}
