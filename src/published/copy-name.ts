import { CfsError } from "../errors.ts";
import { type Category, entryComponents, REFS } from "../repository/names.ts";

/** A stream, an image, or refs, as users call them. */
export interface CopyName {
  readonly category: Category;
  /** Path below the category: the name of an entry, or `refs` and what is below it. */
  readonly path: string;
}

/**
 * Understands `[streams/]ID`, `[streams/]refs/NAME`, `images/HEX` and `images/refs/NAME`.
 * @throws CfsError Invalid
 */
export function parseName(name: string): CopyName {
  const bare = name.replace(/^(\.\/)+/, "");
  const match = /^(streams|images)(?:\/(.*))?$/s.exec(bare);
  const category = match?.[1] === "images" ? "images" : "streams";
  const path = (match === null ? bare : (match[2] ?? "")).replace(/(?<=.)\/+$/, "");
  const [first] = entryComponents(path, category);
  if (first !== REFS && path.includes("/"))
    throw new CfsError("Invalid", `'${name}' is no name of a stream or an image`, {
      hint: "name it ID or refs/NAME; images are images/HEX or images/refs/NAME",
    });
  return { category, path };
}
