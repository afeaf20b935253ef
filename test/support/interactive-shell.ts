import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { CFSCTL } from "./cfsctl.ts";
import type { TempDir } from "./temp.ts";

export type ShellName = "bash" | "zsh" | "fish";

const START: Readonly<Record<ShellName, readonly string[]>> = {
  bash: ["--noprofile", "--norc", "-i"],
  zsh: ["-f", "-i"],
  fish: ["--no-config", "-i"],
};

const SET_UP: Readonly<Record<ShellName, string>> = {
  bash: "source <(cfsctl completion bash)",
  zsh: "autoload -U compinit && compinit -u -D && source <(cfsctl completion zsh)",
  fish: "cfsctl completion fish | source",
};

/** A shell on a terminal, whose command lines are typed key by key, and whose `cfsctl` says what it was called with. */
export class InteractiveShell implements Disposable {
  readonly #shell: Bun.Subprocess;
  readonly #terminal: Bun.Terminal;
  readonly #name: ShellName;
  readonly #called: string;
  #output = "";

  private constructor(dir: TempDir, name: ShellName, cwd: string) {
    this.#name = name;
    const bin = dir.join("bin");
    mkdirSync(bin, { recursive: true });
    mkdirSync(dir.join("home"), { recursive: true });
    this.#called = dir.join("called");
    // One argument a line is enough: no test has line ends in them.
    writeFileSync(
      `${bin}/cfsctl`,
      `#!/bin/sh\n[ -z "$COMPLETE" ] && [ "$1" != completion ] || exec '${CFSCTL}' "$@"\n` +
        `printf '%s\\n' "$@" >'${this.#called}.new' && mv '${this.#called}.new' '${this.#called}'\n`,
    );
    chmodSync(`${bin}/cfsctl`, 0o755);
    this.#terminal = new Bun.Terminal({
      cols: 250,
      rows: 50,
      data: (_, bytes) => {
        this.#output += Buffer.from(bytes).toString();
      },
    });
    // fish wants the terminal to be the one that controls it.
    this.#shell = Bun.spawn(["setsid", "--ctty", name, ...START[name]], {
      cwd,
      env: {
        PATH: `${bin}:/usr/local/bin:/usr/bin:/bin`,
        HOME: dir.join("home"),
        TERM: "xterm",
        LANG: "C.UTF-8",
      },
      terminal: this.#terminal,
    });
  }

  /** Starts a shell that has our script. @param cwd where it starts. */
  static async start(dir: TempDir, name: ShellName, cwd: string): Promise<InteractiveShell> {
    const shell = new InteractiveShell(dir, name, cwd);
    // What is typed is echoed, so the word that is waited for must not stand in it.
    shell.#terminal.write(`${SET_UP[name]}; echo rea""dy\n`);
    await shell.#until(() => /ready\r?\n/.test(shell.#output));
    return shell;
  }

  /** Types a line, in which a tab completes, and returns the arguments that the program gets. */
  async type(line: string): Promise<string[]> {
    rmSync(this.#called, { force: true });
    this.#output = "";
    for (const key of line.split(/(\t)/)) {
      this.#terminal.write(key);
      // fish throws away what is typed while it looks for candidates.
      if (key === "\t" && this.#name === "fish") await this.#quiet();
    }
    this.#terminal.write("\n");
    await this.#until(() => existsSync(this.#called));
    return readFileSync(this.#called, "utf8").split("\n").slice(0, -1);
  }

  /** Waits until nothing new has been written for a while. */
  async #quiet(): Promise<void> {
    for (let length = -1; length !== this.#output.length; ) {
      length = this.#output.length;
      await Bun.sleep(250);
    }
  }

  async #until(isReached: () => boolean): Promise<void> {
    for (const end = Date.now() + 20_000; !isReached(); await Bun.sleep(20)) {
      if (Date.now() > end) throw new Error(`the shell says: ${JSON.stringify(this.#output)}`);
    }
  }

  [Symbol.dispose](): void {
    this.#shell.kill("SIGKILL");
    this.#terminal.close();
  }
}
