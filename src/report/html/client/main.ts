/** What the page does where scripts run: nothing in it is needed to read the report. */

import { copyButtons } from "./copy.ts";
import { openedTargets } from "./details.ts";
import { readableCells } from "./heat-map.ts";
import { sortedTables } from "./table.ts";
import { themeButton } from "./theme.ts";

themeButton();
copyButtons();
sortedTables();
openedTargets();
readableCells();
