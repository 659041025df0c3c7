// Forms that begin a run.

import { all, call, one, placed } from "./page.js";

function wishOf(form) {
  const wish = { run: form.dataset.run };
  for (const field of form.elements) {
    if (field.name === "" || field.value === "") {
      continue;
    }
    if (field.name === "seed") {
      // Larger than what a number of this language holds exactly.
      wish.seed = field.value;
    } else if (field.type === "checkbox") {
      wish[field.name] = field.checked;
    } else {
      wish[field.name] = field.type === "number" ? Number(field.value) : field.value;
    }
  }
  return wish;
}

/** Lets the forms of a page begin runs. */
export function forms() {
  for (const form of all("form[data-run]")) {
    const button = one("[data-start]", form);
    const problem = one("[data-problem]", form);
    button.disabled = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      problem.textContent = "";
      try {
        const { answer } = await call("POST", "/api/proof/runs", wishOf(form));
        if (one("[data-panel='mission']") === null) {
          location.assign(placed(answer.headers.get("location")));
        }
        // Mission Control stays: it draws the run beside everything else.
        button.disabled = false;
      } catch (error) {
        problem.textContent = error.message;
        button.disabled = false;
      }
    });
  }
}
