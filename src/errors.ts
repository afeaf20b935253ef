/** The kinds of failure a caller can tell apart; the command line and RPC map them to exit codes and errors. */
export type ErrorKind =
  | "NotFound"
  | "Exists"
  | "Invalid"
  | "Corrupt"
  | "Unsupported"
  | "Permission"
  | "Network"
  | "Cancelled"
  | "Io"
  | "Usage";

export interface ErrorOptions {
  /** What the user can do about it, as one short sentence without a final full stop. */
  hint?: string;
  cause?: unknown;
  /** Machine-readable details: `expected`, `found`, `path`, … */
  data?: Record<string, string | number | boolean>;
}

/**
 * Every failure that we foresee. `message` names the thing that failed (file, object, field) and never ends in a
 * full stop; `cause` holds what lies beneath, and both are shown on one line.
 */
export class CfsError extends Error {
  readonly kind: ErrorKind;
  readonly hint?: string;
  readonly data?: Record<string, string | number | boolean>;

  constructor(kind: ErrorKind, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CfsError";
    this.kind = kind;
    if (options.hint !== undefined) this.hint = options.hint;
    if (options.data !== undefined) this.data = options.data;
  }
}

/** The error with what its causes say, on one line: `pulling x: layer y: digest mismatch`. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let e: unknown = error; e !== undefined; e = e instanceof Error ? e.cause : undefined) {
    const text = e instanceof Error ? e.message : String(e);
    if (text !== "" && parts.at(-1) !== text) parts.push(text);
  }
  return parts.join(": ").replaceAll("\n", " ");
}

/** The first hint found from the outermost error inwards. */
export function hintOf(error: unknown): string | undefined {
  for (let e: unknown = error; e instanceof Error; e = e.cause) {
    if (e instanceof CfsError && e.hint !== undefined) return e.hint;
  }
  return undefined;
}

/** The kind of the innermost foreseen error: what really happened, below the contexts that were added. */
export function kindOf(error: unknown): ErrorKind | undefined {
  let kind: ErrorKind | undefined;
  for (let e: unknown = error; e instanceof Error; e = e.cause) {
    if (e instanceof CfsError) kind = e.kind;
  }
  return kind;
}

/** Adds what was being done to an error; keeps the kind. */
export function withContext(context: string, error: unknown): CfsError {
  return new CfsError(kindOf(error) ?? "Io", context, { cause: error });
}
