import { CfsError, type ErrorKind } from "../errors.ts";

/** An error in a form that can be sent to another thread. */
export interface TransferredError {
  readonly kind: ErrorKind | undefined;
  readonly message: string;
  readonly stack: string | undefined;
  readonly hint: string | undefined;
  readonly data: Record<string, string | number | boolean> | undefined;
  readonly cause: TransferredError | undefined;
}

export function packError(error: unknown): TransferredError {
  const known = error instanceof CfsError ? error : undefined;
  const cause = error instanceof Error ? error.cause : undefined;
  return {
    kind: known?.kind,
    message: error instanceof Error ? error.message : String(error),
    stack: error instanceof Error ? error.stack : undefined,
    hint: known?.hint,
    data: known?.data,
    cause: cause === undefined ? undefined : packError(cause),
  };
}

export function unpackError(packed: TransferredError): Error {
  const cause = packed.cause === undefined ? undefined : unpackError(packed.cause);
  const error =
    packed.kind === undefined
      ? new Error(packed.message, { cause })
      : new CfsError(packed.kind, packed.message, {
          ...(packed.hint === undefined ? {} : { hint: packed.hint }),
          ...(packed.data === undefined ? {} : { data: packed.data }),
          ...(cause === undefined ? {} : { cause }),
        });
  if (packed.stack !== undefined) error.stack = packed.stack;
  return error;
}
