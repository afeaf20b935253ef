import { readFileSync } from "node:fs";
import { CfsError } from "../errors.ts";

/** The text of a file with certificates or a key. @throws CfsError Io, Invalid */
export function readPem(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    throw new CfsError("Io", `${path} can't be read`, { cause: error });
  }
  if (/-----BEGIN [A-Z ]+-----/.test(text)) return text;
  throw new CfsError("Invalid", `${path} has nothing in PEM form`);
}
