import { CfsError } from "../errors.ts";
import { parseJsonObject } from "./json.ts";

/**
 * How the layers of an image were made, as its config tells (OCI image specification, config.md: `history`): a text for
 * each layer, lowest first; undefined where it says nothing, or has another number of entries than there are layers.
 * @param config as published; what is malformed counts as missing.
 */
export function layerHistory(config: Uint8Array, layers: number): (string | undefined)[] {
  const texts: (string | undefined)[] = [];
  for (const entry of historyOf(config)) {
    if (typeof entry !== "object" || entry === null) continue;
    const { created_by: text, empty_layer: isEmpty } = entry as Record<string, unknown>;
    if (isEmpty !== true) texts.push(typeof text === "string" ? text : undefined);
  }
  return texts.length === layers ? texts : new Array<undefined>(layers).fill(undefined);
}

function historyOf(config: Uint8Array): readonly unknown[] {
  try {
    const { history } = parseJsonObject(config, "config");
    return Array.isArray(history) ? history : [];
  } catch (error) {
    if (error instanceof CfsError) return [];
    throw error;
  }
}
