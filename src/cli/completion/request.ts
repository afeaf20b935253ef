/**
 * Whether a shell asks for candidates, and not a user for work: the scripts of composefs-rs set this variable, and so do
 * ours.
 */
export function isCompletionRequest(
  { COMPLETE }: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return COMPLETE !== undefined && COMPLETE !== "" && COMPLETE !== "0";
}
