import { test as base, type BrowserContext, expect, type Page } from "@playwright/test";

/**
 * The tests' own `test`: it knows the server's address and fails a test whose pages wrote an error
 * to their console, threw, or asked for something that was not there.
 */
export const test = base.extend<{ complaints: string[] }>({
  baseURL: async ({}, use) => {
    await use(process.env.LOTZERO_URL);
  },
  complaints: [
    async ({ context }, use) => {
      const complaints: string[] = [];
      await watch(context, complaints);
      await use(complaints);
      expect(complaints, "what the pages complained about").toEqual([]);
    },
    { auto: true },
  ],
});

/** Prepares a browser context for these tests; for those a test makes itself. */
export async function watch(context: BrowserContext, complaints: string[]): Promise<void> {
  await context.addInitScript(markStart);
  context.on("console", (message) => {
    if (message.type() === "error") {
      complaints.push(`console: ${message.text()}`);
    }
  });
  context.on("weberror", (error) => complaints.push(`thrown: ${error.error().message}`));
}

/**
 * Runs in the page before anything of its own. The bundle hydrates in the microtasks that follow
 * its instantiation, so a timer set there fires when hydration is done.
 */
function markStart(): void {
  for (const name of ["instantiate", "instantiateStreaming"] as const) {
    const original = WebAssembly[name] as (...given: unknown[]) => Promise<unknown>;
    const marked = async (...given: unknown[]) => {
      const made = await original(...given);
      setTimeout(() => Reflect.set(window, "isHydrated", true));
      return made;
    };
    Reflect.set(WebAssembly, name, marked);
  }
}

/** Opens a page and waits until its wasm has taken over. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await hydrated(page);
}

/** Waits until the page's wasm has taken over; before that, forms work as plain forms. */
export async function hydrated(page: Page): Promise<void> {
  await page.waitForFunction(() => Reflect.get(window, "isHydrated") === true);
}

export { expect };
