// The wire between a page and the live socket, which a test may cut.
import type { Page, WebSocketRoute } from "@playwright/test";

/** The wire of one page. */
export class Wire {
  private routes: WebSocketRoute[] = [];
  private isCut = false;
  /** Connections that stay open and carry nothing any more. */
  private readonly dead = new Set<WebSocketRoute>();
  /** The channel whose subscriptions the house says it cannot serve now. */
  refuses: string | undefined;
  /** Whether the house says that it cannot serve chat now, neither messages nor the channel. */
  chatIsDown = false;
  attempts = 0;
  readonly sent: Record<string, unknown>[] = [];
  readonly received: Record<string, unknown>[] = [];

  static async of(page: Page): Promise<Wire> {
    const wire = new Wire();
    await page.routeWebSocket(/\/live(\?|$)/, (route) => wire.take(route));
    return wire;
  }

  private take(route: WebSocketRoute): void {
    this.attempts += 1;
    if (this.isCut) {
      void route.close({ code: 1011 });
      return;
    }
    this.routes.push(route);
    const server = route.connectToServer();
    route.onMessage((frame) => {
      const asked = JSON.parse(String(frame));
      this.sent.push(asked);
      if (this.dead.has(route)) {
        return;
      }
      if (this.isRefused(asked)) {
        const refusal = { type: "error", code: "unavailable", message: "Try again.", temporary: true };
        route.send(JSON.stringify({ server_time: Date.now(), id: asked.id, ...refusal }));
        return;
      }
      server.send(frame);
    });
    server.onMessage((frame) => {
      this.received.push(JSON.parse(String(frame)));
      if (!this.dead.has(route)) {
        route.send(frame);
      }
    });
  }

  private isRefused({ type, channel }: { type: string; channel?: string }): boolean {
    if (this.chatIsDown && (type === "chat" || channel?.startsWith("chat:"))) {
      return true;
    }
    return type === "subscribe" && channel === this.refuses;
  }

  /** Nothing goes through any more, and nobody is told. */
  die(): void {
    this.routes.forEach((route) => this.dead.add(route));
  }

  /** What is connected stays; whoever comes is sent away. */
  close(): void {
    this.isCut = true;
  }

  async cut(): Promise<void> {
    this.isCut = true;
    for (const route of this.routes.splice(0)) {
      await route.close({ code: 1011 });
    }
  }

  mend(): void {
    this.isCut = false;
    this.sent.length = 0;
    this.received.length = 0;
  }
}
