// What every panel needs: finding elements, numbers as people read them, calls to the house.

export const grouped = (number) => Number(number).toLocaleString("en-US");
export const one = (selector, within = document) => within.querySelector(selector);
export const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** A place of the house, for whoever acts here: the address carries who and where. */
export const placed = (path) => path + location.search;

/** Has the links of a page keep who acts and where. Files and what is named exactly stay as they are. */
export function keepActing() {
  for (const link of all("main a[href^='/']:not([download])")) {
    const path = link.getAttribute("href");
    if (!path.includes("?") && !path.includes("#")) {
      link.setAttribute("href", placed(path));
    }
  }
}

/** Calls the house; throws what it says if it refuses. */
export async function call(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Error(value.detail ?? `The house answered ${answer.status}.`);
  }
  return { value, answer };
}
