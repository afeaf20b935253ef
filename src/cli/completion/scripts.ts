import bash from "./scripts/cfsctl.bash" with { type: "text" };
import fish from "./scripts/cfsctl.fish" with { type: "text" };
import zsh from "./scripts/cfsctl.zsh" with { type: "text" };

/** Shells for which there are scripts. */
export const SCRIPTED_SHELLS = ["bash", "zsh", "fish"] as const;

const SCRIPTS: Readonly<Record<string, string>> = { bash, zsh, fish };

/** The script that makes a shell ask this program what a word may become; undefined for other shells. */
export function script(shell: string): string | undefined {
  return SCRIPTS[shell];
}
