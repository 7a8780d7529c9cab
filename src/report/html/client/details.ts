/** Opens what an address leads into: not every browser unfolds it. */

export function openedTargets(): void {
  const open = (): void => {
    const target = document.getElementById(location.hash.slice(1));
    const fold = target?.closest("details");
    if (target == null || fold == null || fold.open) return;
    fold.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
}
