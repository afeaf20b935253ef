/** The style sheet of the report: no font, image or file from elsewhere; light and dark as the reader's system says. */
export const STYLE = `
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1b1f24;--muted:#5b6470;--line:#dfe3e8;--own:#2563eb;
--shared:#9dbdf5;--before:#d5dae1;--mark:#fff;--warn:#9a3412}
@media (prefers-color-scheme:dark){:root{--page:#101316;--card:#191d22;--text:#e6e9ed;--muted:#9aa4b0;--line:#2c333b;
--own:#5b93ff;--shared:#2f4f86;--before:#39414b;--mark:#0b0d10;--warn:#fdba74}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:24px;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:18px;margin:0 0 4px}
p{margin:4px 0 12px;color:var(--muted)}
header p{margin:4px 0 20px}
code,.mono,svg text{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:16px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 16px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.tile dt{color:var(--muted);font-size:13px}
.tile dd{margin:2px 0 0;font-size:22px;font-weight:600;line-height:1.2;font-variant-numeric:tabular-nums}
.tile dd small{display:block;font-size:13px;font-weight:400;color:var(--muted);margin-top:2px}
.warning{color:var(--warn)}
details{border-top:1px solid var(--line)}
details:first-of-type{border-top:0}
summary,.row{display:grid;grid-template-columns:minmax(0,1fr) repeat(3,92px);gap:12px;padding:9px 0;align-items:baseline}
summary{cursor:pointer;list-style:none}
summary::-webkit-details-marker{display:none}
summary .name{position:relative;padding-left:18px}
summary .name::before{content:"\\25B8";position:absolute;left:0;color:var(--muted)}
details[open] summary .name::before{content:"\\25BE"}
summary:focus-visible{outline:2px solid var(--own);outline-offset:2px;border-radius:4px}
.name{font-weight:600;overflow-wrap:anywhere}
.name small{display:block;font-weight:400;color:var(--muted)}
.name small span{white-space:nowrap}
svg+svg+p{margin-top:22px}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.head{color:var(--muted);font-size:13px;padding-bottom:4px;border-bottom:1px solid var(--line)}
.inside{padding:0 0 14px 18px}
.inside dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 14px;margin:0 0 10px;font-size:14px}
.inside dt{color:var(--muted)}
.inside dd{margin:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:14px}
th{font-weight:400;color:var(--muted);font-size:13px;text-align:left}
th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:baseline}
th:last-child,td:last-child{padding-right:0}
tr:last-child td{border-bottom:0}
td{overflow-wrap:anywhere}
td.mono{font-size:13px}
td.number,th.number{text-align:right;width:92px}
td small{display:block;color:var(--muted);font-size:13px}
svg{display:block;width:100%;height:auto}
svg.narrow{display:none}
svg text{fill:var(--text);font-size:12px}
svg .quiet{fill:var(--muted)}
svg .own{fill:var(--own)}
svg .shared{fill:var(--shared)}
svg .before{fill:var(--before)}
svg .cell{fill:var(--own)}
svg .empty{fill:var(--line)}
svg .on{fill:var(--mark)}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--muted);margin:0 0 10px;padding:0;list-style:none}
.legend li::before{content:"";display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px}
.legend .is-own::before{background:var(--own)}
.legend .is-shared::before{background:var(--shared)}
.legend .is-before::before{background:var(--before)}
footer{color:var(--muted);font-size:13px;margin-top:20px}
@media (max-width:700px){
main{padding:16px 12px 32px}
section{padding:14px;margin:12px 0}
.tiles{grid-template-columns:1fr 1fr;gap:10px}
.tile dd{font-size:19px}
svg.wide{display:none}
svg.narrow{display:block}
summary,.row{grid-template-columns:minmax(0,1fr) 78px;gap:2px 10px}
.extra{display:none}
.inside{padding-left:0}
.inside dl{grid-template-columns:1fr}
.inside dt{margin-top:4px}
th,td{padding-right:8px}
td.number,th.number{width:76px}
}
@media print{body{background:#fff}section,.tile{break-inside:avoid}}
`;
