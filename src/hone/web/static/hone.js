// Keys, sending once, ranking by clicks, and pages that follow what happens. Everything works without it by mouse.
"use strict";

// A form is sent once. If the server is away, what was entered stays here and is sent again until it is back: a
// submission has an id of its own and is stored once, however often it arrives.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  if (document.body.classList.contains("sent")) return;
  document.body.classList.add("sent");
  const fields = new URLSearchParams(new FormData(form));
  if (event.submitter && event.submitter.name) fields.set(event.submitter.name, event.submitter.value);
  for (;;) {
    try {
      const reply = await fetch(form.action, { method: "POST", body: fields });
      if (reply.redirected) {
        if (!reply.url.includes("note=already")) forget(form);
        return location.assign(reply.url);
      }
      return resend(form, fields); // shows the server's own page on what went wrong
    } catch {
      say("The server does not answer. What you entered is kept here and sent again.");
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
});
addEventListener("pageshow", () => document.body.classList.remove("sent"));

function resend(form, fields) {
  const copy = document.createElement("form");
  copy.method = "post";
  copy.action = form.action;
  for (const [name, value] of fields) {
    const field = document.createElement("textarea");
    field.name = name;
    field.value = value;
    copy.append(field);
  }
  copy.hidden = true;
  document.body.append(copy);
  copy.submit();
}

function say(text) {
  let note = document.querySelector("#away");
  if (!note) {
    note = document.createElement("p");
    note.id = "away";
    note.className = "said";
    note.setAttribute("role", "status");
    document.querySelector("main").prepend(note);
  }
  note.textContent = text;
}

// What is being written survives a closed tab.
const written = document.querySelector("textarea[name=text]");
const draft = (form) => form.elements.item && form.elements.text && `${form.elements.item.value} ${form.elements.answer ? form.elements.answer.value : ""}`;
if (written && draft(written.form)) {
  const kept = localStorage.getItem(draft(written.form));
  if (kept !== null) written.value = kept;
  written.addEventListener("input", () => localStorage.setItem(draft(written.form), written.value));
}
function forget(form) {
  if (draft(form)) localStorage.removeItem(draft(form));
}

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
