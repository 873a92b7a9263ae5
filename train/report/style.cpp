#include "train/report/style.hpp"

#include "train/report/palette.hpp"

namespace rmoe::report {
namespace {

constexpr const char* kLight = R"(
--page:#ffffff;--ink:#1b1c1f;--muted:#5b5f66;--grid:#e4e5e8;--rule:#c9cbd0;--wash:#f5f6f7;--ridge:#c9d4ea;)";
constexpr const char* kDark = R"(
--page:#15171b;--ink:#e9eaec;--muted:#a3a8b0;--grid:#2b2f36;--rule:#444a53;--wash:#1d2025;--ridge:#2c3858;)";

constexpr const char* kText = R"(
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
font:17px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans",
"Liberation Sans",sans-serif}
main{max-width:1184px;margin:0 auto;padding:40px 16px 64px}
header,p,.note{max-width:680px}
h1{font-size:34px;line-height:1.15;letter-spacing:-.015em;margin:0;text-wrap:balance}
.subtitle{font-size:19px;line-height:1.4;color:var(--muted);margin:10px 0 0}
h2{font-size:22px;line-height:1.25;letter-spacing:-.008em;margin:52px 0 0;padding-top:14px;
border-top:1px solid var(--rule)}
p{margin:14px 0 0;overflow-wrap:break-word}
.note{margin:18px 0 0;padding:2px 0 2px 14px;border-left:3px solid var(--rule);color:var(--muted);
font-size:15px}
figure{margin:26px 0 0}
figcaption,caption{color:var(--muted);font-size:14px;line-height:1.45;text-align:left}
figcaption{max-width:680px;margin-top:10px}
)";

constexpr const char* kFigures = R"(
.row{display:grid;gap:26px 24px;align-items:start;
grid-template-columns:repeat(auto-fit,minmax(min(100%,var(--least)),1fr))}
.place{container-type:inline-size;min-width:0}
svg.chart{display:block;width:100%;height:auto;overflow:visible}
svg.wide{display:none}
@container (min-width:560px){svg.wide{display:block}svg.narrow{display:none}}
.chart text{font-size:12px;fill:var(--ink);font-variant-numeric:tabular-nums}
.chart .title{font-size:14px;font-weight:600}
.chart .muted{fill:var(--muted)}
.chart .number,.chart .cell{font-size:11px}
.chart .number{fill:var(--muted)}
.chart .end{text-anchor:end}
.chart .middle{text-anchor:middle}
.grid{stroke:var(--grid);stroke-width:1}
.axis{stroke:var(--muted);stroke-width:1}
.line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.leader{stroke:var(--c);stroke-width:1}
.dense{stroke-width:1.25}
.d1{stroke-dasharray:7 4}.d2{stroke-dasharray:1 4}.d3{stroke-dasharray:9 4 1 4}
.band{fill:var(--c);fill-opacity:.15}
.marker{fill:var(--c);stroke:var(--page);stroke-width:1}
.bar{fill:var(--c)}
.whisker,.median{stroke:var(--ink);stroke-width:1.1}
.ridge{fill:var(--ridge);stroke:var(--c);stroke-width:1.25;stroke-linejoin:round}
)";

constexpr const char* kTable = R"(
.table{margin:26px 0 0;overflow-x:auto;background:linear-gradient(to left,var(--page) 40%,
transparent) right local,
linear-gradient(to left,var(--rule),transparent) right scroll;background-size:48px 100%,14px 100%;
background-repeat:no-repeat}
table{border-collapse:collapse;font-size:15px;line-height:1.35;font-variant-numeric:tabular-nums}
caption{padding-bottom:10px}
caption span{display:block;position:sticky;left:0;width:max-content;max-width:min(680px,calc(100vw - 32px))}
th,td{padding:7px 0 7px 22px;text-align:right;white-space:nowrap;font-weight:400}
th:first-child,td:first-child{padding-left:0;text-align:left;position:sticky;left:0;background:var(--page)}
thead th{white-space:normal;font-size:13px;color:var(--muted);vertical-align:bottom;
border-bottom:1px solid var(--muted)}
thead tr.groups th{color:var(--ink);font-weight:600;text-align:center;border-bottom:0;padding-bottom:3px}
thead tr.groups th span{display:block;border-bottom:1px solid var(--rule);padding-bottom:3px}
tbody tr+tr>*{border-top:1px solid var(--grid)}
tbody tr:last-child>*{border-bottom:1px solid var(--muted)}
tbody tr:hover>*{background:var(--wash)}
.missing{color:var(--muted)}
)";

constexpr const char* kSmallScreens = R"(
@media (max-width:560px){main{padding-top:24px}h1{font-size:27px}.subtitle{font-size:17px}body{font-size:16px}
h2{font-size:20px;margin-top:40px}th,td{padding-left:16px}}
)";

constexpr const char* kPaper = R"(
@page{margin:16mm 15mm}
@media print{body{font-size:10.5pt;color:#000}main{max-width:none;padding:0}
svg.chart{width:auto;max-width:100%!important}.row{gap:16px 24px}
h2{break-after:avoid;margin-top:24pt}figcaption{break-before:avoid}figure,.place,tr,.note{break-inside:avoid}
.table{overflow:visible;background:none}
thead{display:table-header-group}caption{break-after:avoid}p{orphans:3;widows:3}
rect,path,tr{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
)";

}  // namespace

std::string style_sheet() {
  std::string css =
      std::string(":root{color-scheme:light dark;") + kLight + color_variables(Theme::light) + "}\n";
  css += std::string("@media screen and (prefers-color-scheme:dark){:root{") + kDark +
         color_variables(Theme::dark) + "}}\n";
  return css + color_classes() + kText + kFigures + kTable + kSmallScreens + kPaper;
}

}  // namespace rmoe::report
