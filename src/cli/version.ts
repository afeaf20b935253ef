import { version } from "../../package.json" with { type: "json" };

/** `cfsctl 1.2.3` */
export function versionLine(program = "cfsctl"): string {
  return `${program} ${version}`;
}
