import time
from pathlib import Path
import numpy as np
from conftest import TINY, run_job, write_rgb
from flukeseg import selftrain
from flukeseg.data.synthetic import render

FEW = [*TINY, "trainer.max_epochs=1", "data.train_count=8", "num_workers=0", "runtime=torch",
       "batch_size=4", "calibrate_count=8", "photo_size=[64,128]", "gate.good=0.2", "gate.precision=0.3",
       "gate.disagreement=0.9", "gate.sure=0.6", "gate.val_count=2", "tta=flip"]

def test_it(tmp_path, monkeypatch, tiny_runs):
    monkeypatch.chdir(tmp_path)
    for i in range(8):
        write_rgb(Path(f"photos/{i}.jpg"), render((4, i), (64, 128)).image)
    t=time.time()
    run_job(selftrain, f"checkpoint={tiny_runs[0]}", "source=photos", "output=out", *FEW)
    print(time.time()-t)
    print(Path("out/round-1/labels.csv").read_text())
    print(sorted(str(p) for p in Path("out").rglob("*") if p.is_file()))
    print(Path("out/selftrain.log").read_text())
    t=time.time()
    run_job(selftrain, f"checkpoint={tiny_runs[0]}", "source=photos", "output=out", *FEW)
    print(time.time()-t)
