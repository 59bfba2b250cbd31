"""Command lines as a new user might type them, and what each is answered with."""

import shlex
import sys

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from flukeseg import command_line
from flukeseg.installation import CONF

P = "predict source=photos output=out"

WRONG = {
    # not an option at all
    "predict photos/": "photos/ has no name; write source=photos/",
    "predict photos output=out": "photos has no name; write source=photos",
    "predict *.jpg output=out": "*.jpg has no name; write source=*.jpg",
    "predict source photos output out": "source has no value; write source=VALUE, without spaces",
    "predict source = photos": "= has no name; write NAME=VALUE, without spaces around =",
    "predict source= photos": "photos has no name; write source=photos",
    "predict source=photos output=": "output= has no value; write output=VALUE, or output=null",
    "predict source=photos output:out": "output:out is not an option; write NAME=VALUE",
    "predict source=photos,output=out": "output has no value; give it on the command line",
    "predict source=photos/Day 1 north output=out": "one that has spaces in quotes: 'NAME=A B'",
    "predict source=Day 1/north output=out": "1/north is not an option; write NAME=VALUE",
    "predict source=photos output=out products=[overlay, gallery]": "gallery] is not an option",
    "predict --source photos --output out": "--source is not an option; write source=photos",
    "predict --source=photos": "--source=photos is not an option; write source=photos",
    "predict -o out source=photos": "-o is not an option; write NAME=VALUE",
    "predict --cfg jobs": "argument --cfg/-c: invalid choice: 'jobs'",
    "train -seed 3": "-seed is not an option; write seed=3",
    "train ${x}": "${x} is not an option; write NAME=VALUE",
    "train =3": "=3 has no name; write NAME=VALUE",
    "train .=3": ".=3 cannot be read as an option",
    # mistyped
    "predict sources=photos output=out": "there is no option sources; did you mean source?",
    f"{P} tresholds=0.4": "there is no option tresholds; did you mean threshold?",
    f"{P} +trehshold=0.4": "nothing reads the option trehshold; did you mean threshold?",
    f"{P} trainer.device=2": "did you mean trainer.devices?",
    f"{P} max_pixel=3": "did you mean max_pixels?",
    f"{P} cleaning.islnd_share=0.2": "did you mean cleaning.island_share?",
    f"{P} cleaning.islands=0.2": "did you mean cleaning.island_share or review.islands?",
    "train model.encodr=resnet18": "did you mean model.encoder?",
    "train augmentation.strenght=2": "did you mean augmentation.strength?",
    "train callback=ema": "there is no option callback; did you mean callbacks?",
    "train data=mixed data.sources.rendred.share=3": "did you mean data.sources.rendered.share?",
    "train ~callbacks.early_stoping": "to take out; did you mean callbacks.early_stopping?",
    "evaluate prediction=a truth=t output=o": "did you mean predictions?",
    "export formt=onnx": "did you mean format?",
    "selftrain source=x output=y gate.god=1": "did you mean gate.good?",
    "selftrain source=x output=y round=2": "did you mean rounds?",
    "benchmark part=network": "did you mean parts?",
    # known elsewhere
    "train lr=1e-4": "there is no option lr; did you mean model.optimizer.lr?",
    "train optimizer.lr=1e-4": "did you mean model.optimizer.lr?",
    "train batch_size=4": "did you mean data.batch_size?",
    "train epochs=3": "did you mean trainer.max_epochs?",
    "train data.root=pairs": "there is no option data.root; data=folder and data=humpback450 have",
    "train data.fold=0 -m seed=1,2": "there is no option data.fold; data=folder has it",
    # nothing is near: no unrelated name
    "train model.head=fpn": "no option model.head; python -m flukeseg.train --help lists",
    "train hydra.run.dirr=x": "no option hydra.run.dirr; python -m flukeseg.train --help lists",
    f"{P} device=cuda": "no option device; python -m flukeseg.predict --help lists",
    "evaluate predictions=a truth=t output=x folds=3": "no option folds; python -m flukeseg",
    # a plus is needed, or is not
    "train experiment=seresnet34": "an experiment is added with a plus: +experiment=seresnet34",
    "train trainer.gradient_clip_val=1.0": (
        "pytorch_lightning.Trainer takes it, add it with a plus: +trainer.gradient_clip_val=1.0"
    ),
    "train model.optimizer.weight_decay=1e-4": "a plus: +model.optimizer.weight_decay=1e-4",
    "train gradient_clip_val=1.0": "did you mean +trainer.gradient_clip_val?",
    "train trainer.gradient_clip=1.0": "did you mean +trainer.gradient_clip_val?",
    "train +seed=3": "seed has a value already; leave out the plus: seed=3",
    "train +data=folder": "data is chosen already; leave out the plus: data=folder",
    # choices that do not exist, or are another job's
    "train data=foldr": "no data=foldr; did you mean data=folder? choose folder, humpback450",
    "train +experiment=seresnet": "did you mean experiment=seresnet34? choose demo",
    "train hydra/launcher=slurm": "there is no hydra/launcher=slurm; choose basic",
    "train +experiment=wild root=DIR": (
        "is not for flukeseg.train; run: python -m flukeseg.selftrain +experiment=wild root=DIR"
    ),
    f"{P} model=unet": "flukeseg.predict has no model to choose",
    # several values
    f"{P} size=384,192": "size=384,192: for a list write 'size=[384,192]'",
    f"{P} products=mask,overlay": "for a list write 'products=[mask,overlay]'",
    "evaluate predictions=a,b truth=t output=o": "for a list write 'predictions=[a,b]'",
    "predict threshold=0,4": "threshold=0,4: write a point: threshold=0.4",
    "predict recognition.remove=0,15": "write a point: recognition.remove=0.15",
    "predict size=64,128": "for a list write 'size=[64,128]'",
    "train augmentation.strength=0,5": "augmentation.strength=0.5; to run a job for each value",
    "train model.optimizer.lr=1e-3,1e-4": "to run a job for each value, add -m",
    "train seed=choice(1,2)": "seed=choice(1,2) stands for several values; add -m",
    "train data=folder,mixed": "data=folder,mixed names several; choose one, or run a job for each",
    "benchmark +compare.torch=[runtime=torch]": "the value in quotes if it has commas, brackets",
}


@pytest.mark.bad_input
@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_answered_with_what_to_write(tmp_path, monkeypatch, capsys, line):
    job, *arguments = shlex.split(line)

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name=job)
    def main(cfg: DictConfig) -> None:
        raise AssertionError("the job began")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    monkeypatch.setattr(sys, "argv", [f"flukeseg.{job}", *arguments])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as ended:
        command_line.run(main)
    assert ended.value.code == 1
    (answer,) = capsys.readouterr().err.splitlines()
    assert answer.startswith("error: ")
    assert WRONG[line] in answer


def test_an_output_that_takes_no_log_is_named(tmp_path, monkeypatch, capsys):
    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="predict")
    def main(cfg: DictConfig) -> None:
        raise AssertionError("the job began")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "out/predict.log").mkdir(parents=True)  # as good as a folder that is read-only
    monkeypatch.setattr(sys, "argv", ["flukeseg.predict", "source=photos", "output=out"])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as ended:
        command_line.run(main)
    assert ended.value.code == 1
    (answer,) = capsys.readouterr().err.splitlines()
    assert answer.endswith("predict.log cannot be written (Is a directory); name another folder")
