// Tabs as the ARIA practices describe them: arrows, Home and End move, only the chosen tab is in the tab order.

const MOVES = { ArrowRight: 1, ArrowLeft: -1 };

/** `list` holds buttons with role=tab and aria-controls. Returns `choose(index)`. */
export function createTabs(list) {
  const tabs = [...list.querySelectorAll("[role=tab]")];

  function choose(index, focus = false) {
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === index));
      tab.tabIndex = at === index ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = at !== index;
    });
    if (focus) tabs[index].focus();
  }

  list.addEventListener("keydown", (event) => {
    const now = tabs.indexOf(document.activeElement);
    const next = { Home: 0, End: tabs.length - 1 }[event.key] ?? (event.key in MOVES ? (now + MOVES[event.key] + tabs.length) % tabs.length : null);
    if (next === null || now < 0) return;
    event.preventDefault();
    choose(next, true);
  });
  tabs.forEach((tab, index) => tab.addEventListener("click", () => choose(index)));
  return { choose };
}
