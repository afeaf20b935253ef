import type { Context } from "../context.ts";
import { openRepository } from "../repository.ts";

/** As often, a timer does nothing: without one the program would end. */
const FOREVER_MS = 2 ** 30;

/** `cfsctl transaction`: holds the shared lock until a signal ends the program. */
export async function run(context: Context): Promise<void> {
  using _ = openRepository(context);
  setInterval(() => undefined, FOREVER_MS);
  await new Promise<never>(() => undefined);
}
