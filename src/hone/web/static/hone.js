// Keys, sending once, ranking by clicks, and pages that follow what happens. Everything works without it by mouse.
"use strict";

// A form is sent once; a page that the browser brings back may be sent again (the server stores it once anyway).
document.addEventListener("submit", (event) => {
  if (event.target.classList.contains("sent")) event.preventDefault();
  event.target.classList.add("sent");
  document.body.classList.add("sent");
});
addEventListener("pageshow", () => document.querySelectorAll(".sent").forEach((e) => e.classList.remove("sent")));

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.altKey || event.metaKey || event.isComposing) return;
  const typing = event.target.matches("textarea, input:not([type=hidden]), select");
  const key = (event.ctrlKey ? "ctrl+" : "") + event.key.toLowerCase();
  if (typing && key !== "ctrl+enter") return;
  const form = document.querySelector("[data-rank]");
  const card = form && form.querySelector(`[data-place="${CSS.escape(key)}"]`);
  if (card) return choose(form, card);
  const button = document.querySelector(`[data-key~="${CSS.escape(key)}"]`);
  if (button) {
    event.preventDefault();
    button.click();
  }
});

// Ranking: each answer chosen gets the next rank; a chosen one loses its rank.
function choose(form, card) {
  const select = card.querySelector("select");
  const given = [...form.querySelectorAll("select")].map((s) => Number(s.value));
  const free = given.map((_, i) => i + 1).find((rank) => !given.includes(rank));
  select.value = select.value ? "" : String(free);
  mark(form);
}
function mark(form) {
  for (const card of form.querySelectorAll("[data-place]")) card.classList.toggle("ranked", card.querySelector("select").value !== "");
}
for (const form of document.querySelectorAll("[data-rank]")) {
  form.classList.add("live");
  form.addEventListener("change", () => mark(form));
  form.addEventListener("reset", () => setTimeout(() => mark(form)));
  form.addEventListener("click", (event) => {
    const card = event.target.closest("[data-place]");
    if (card && !event.target.closest("label, a")) choose(form, card);
  });
}

// Live pages: ask for the page again and take over what changed, leaving open what is open.
for (const part of document.querySelectorAll("[data-refresh]")) {
  let last = part.innerHTML;
  const again = async () => {
    if (!document.hidden && String(getSelection()) === "") {
      try {
        const text = await (await fetch(location.href, { headers: { accept: "text/html" } })).text();
        const found = new DOMParser().parseFromString(text, "text/html").querySelector("[data-refresh]");
        const now = found ? found.innerHTML : last;
        if (now !== last) {
          const open = [...part.querySelectorAll("details")].map((d) => d.open);
          part.replaceChildren(...found.childNodes);
          part.querySelectorAll("details").forEach((d, i) => { if (i < open.length) d.open = open[i]; });
          last = now;
        }
      } catch { /* the server is away: the next round will tell */ }
    }
    setTimeout(again, 1000 * Number(part.dataset.refresh));
  };
  setTimeout(again, 1000 * Number(part.dataset.refresh));
}
