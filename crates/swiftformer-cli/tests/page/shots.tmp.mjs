import { launch, open } from "./browser.mjs";
import { serve } from "./server.mjs";
import { makeVideo } from "./camera.mjs";
import { readdirSync } from "node:fs";
const out="/tmp/serve/shots"; const program=process.argv[2];
import { mkdirSync } from "node:fs"; mkdirSync(out,{recursive:true});
const maker = await launch("/usr/bin/chromium"); await makeVideo(maker, "/work/wt/serve/examples/china.jpg", "/tmp/serve/camera.y4m"); await maker.close();
const b=await launch("/usr/bin/chromium","/tmp/serve/camera.y4m");
const s=await serve(program,["--model","demo","--model","xs=random:xs","--queue","16"]);
const answered=(page,count)=>page.waitForFunction((count)=>document.querySelectorAll(".card .times-bar").length===count,count);
const drawn="/work/wt/serve/examples/drawn"; const files=readdirSync(drawn).filter(n=>n.endsWith("png")).map(n=>`${drawn}/${n}`);
for (const scheme of ["light","dark"]) {
  for (const [name,vp] of [["desk",{width:1200,height:900}],["phone",{width:360,height:740}]]) {
    const page=await open(b,s.origin,{colorScheme:scheme,viewport:vp,deviceScaleFactor:1,permissions:["camera"]});
    await page.waitForSelector("#facts span");
    const shot=async(what)=>{await page.screenshot({path:`${out}/${name}-${scheme}-${what}.png`,fullPage:true});};
    await shot("start");
    await page.setInputFiles("#picture-file",files[0]); await answered(page,2); await shot("two");
    await page.uncheck("input[value=xs]"); await answered(page,1); await shot("one");
    await page.click("#tab-camera"); if(scheme==="dark"){await page.click("#camera-switch"); await answered(page,1); await page.waitForFunction(()=>parseFloat(document.getElementById("camera-rate").textContent)>0);} await shot("camera"); 
    if(scheme==="dark") await page.click("#camera-switch");
    await page.click("#tab-batch"); await shot("batch-empty");
    await page.setInputFiles("#batch-files",[...files,"/work/wt/serve/README.md"]);
    await page.waitForFunction(()=>document.getElementById("batch-counts").textContent.endsWith("done")); await shot("batch");
    await page.click("#tab-picture"); await page.setInputFiles("#picture-file","/work/wt/serve/README.md"); await page.waitForSelector("#error:not(:empty)"); await shot("error");
    await page.goto(s.origin+"/docs"); await page.waitForSelector("#paths section"); await page.screenshot({path:`${out}/${name}-${scheme}-docs.png`});
    console.log(page.complaints,page.foreign); await page.context().close();
  }
}
await b.close(); await s.stop();
