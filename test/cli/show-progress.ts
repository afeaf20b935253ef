/** Shows progress on stderr, which is a terminal, and makes that narrower on the way. */
import { MessageOutput, Output } from "../../src/cli/output.ts";
import { TerminalProgress } from "../../src/cli/progress-terminal.ts";

const MIB = 1024 * 1024;
const progress = new TerminalProgress(new MessageOutput(2, new Output(1)));
progress.event({ type: "start", id: "a", label: "layer a", totalBytes: 4 * MIB });
progress.event({ type: "advance", id: "a", bytes: MIB });
await Bun.sleep(150);
progress.event({ type: "advance", id: "a", bytes: MIB });
Bun.spawnSync(["stty", "cols", "30"], { stdin: "inherit" });
await Bun.sleep(50);
progress.event({ type: "message", text: "now narrow" });
progress.event({ type: "advance", id: "a", bytes: 2 * MIB });
await Bun.sleep(150);
progress.event({ type: "advance", id: "a", bytes: 2 * MIB });
progress.event({ type: "done", id: "a" });
progress.finish();
