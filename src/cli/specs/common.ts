import type { OptionSpec } from "../tree.ts";

/** Of every command that lists, inspects, checks or pulls. */
export const JSON_OPTION: OptionSpec = { name: "json", kind: "boolean", help: "Print JSON" };
