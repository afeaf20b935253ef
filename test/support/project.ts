import { join } from "node:path";

/** The project's own directory. */
export const PROJECT = join(import.meta.dir, "..", "..");
