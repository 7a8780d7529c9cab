/** What the page does where scripts run: nothing in it is needed to read the report. */

import { copyButtons } from "./copy.ts";
import { readableCells } from "./heat-map.ts";
import { sortedTable } from "./table.ts";
import { themeButton } from "./theme.ts";

themeButton();
copyButtons();
sortedTable();
readableCells();
