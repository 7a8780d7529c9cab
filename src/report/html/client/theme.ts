/** Shows and runs the button between light and dark; the choice is kept nowhere. */
export function themeButton(): void {
  const button = document.querySelector<HTMLButtonElement>("#theme");
  if (button === null) return;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = (): boolean =>
    root.dataset["theme"] === undefined ? system.matches : root.dataset["theme"] === "dark";
  const label = (): void => {
    button.textContent = button.dataset[isDark() ? "light" : "dark"] ?? "";
  };
  button.addEventListener("click", () => {
    root.dataset["theme"] = isDark() ? "light" : "dark";
    label();
  });
  system.addEventListener("change", label);
  label();
  button.hidden = false;
}
