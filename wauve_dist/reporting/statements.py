"""What a report says in sentences: what to beware of, what was done, what is not there."""

from __future__ import annotations

from collections.abc import Mapping

from wauve_dist.evaluation.model_accuracy import ModelAccuracy
from wauve_dist.evaluation.scored_videos import ScoredVideos
from wauve_dist.reporting.findings import Findings
from wauve_dist.reporting.subgroup_section import typeset
from wauve_dist.reporting.wording import count, threshold_words

_MAX_LISTED = 20


def cautions(scored: ScoredVideos, results: Mapping[str, ModelAccuracy]) -> list[str]:
    """What a reader must know before believing a number."""
    notes = []
    if any(result.operating_point.threshold.same_data for result in results.values()):
        notes.append(
            "The threshold was chosen on the videos that it is judged on. Sensitivity, specificity and all other "
            "figures at the threshold are therefore flattered; fix a threshold on other data (--threshold) for an "
            "unbiased estimate. The AUC is not affected."
        )
    for model, result in results.items():
        if result.num_no_lesion:
            notes.append(
                f"{model} found no lesion in {count(result.num_no_lesion, 'video')}, "
                f"{result.num_malignant_no_lesion} of them malignant. They stay in every count with a score of 0, "
                "a benign call."
            )
        if result.auc.redrawn:
            notes.append(
                f"{result.auc.redrawn} bootstrap resamples for {model} held one class only and were drawn anew: "
                "there are few patients of one class, and the interval is rough."
            )
    for model, videos in scored.left_out.items():
        names = ", ".join(videos[:_MAX_LISTED]) + (", …" if len(videos) > _MAX_LISTED else "")
        notes.append(f"Left out, as asked: {count(len(videos), 'video')} of {model} that another model lacks: {names}.")
    if scored.num_unlabelled:
        notes.append(f"{count(scored.num_unlabelled, 'video')} without a known label could not be counted.")
    num_positive, num_negative = int(scored.positive.sum()), int((~scored.positive).sum())
    if min(num_positive, num_negative) < 30:
        notes.append(
            f"With {num_positive} malignant and {num_negative} benign videos the intervals are wide. Read them, "
            "not the estimates."
        )
    if scored.videos["patient_id"].nunique() < len(scored.videos):
        notes.append(
            "Some patients have several videos. Bootstrap intervals and DeLong's variance draw and group by patient; "
            "the binomial intervals of proportions take videos for independent, so limits by patient stand beside."
        )
    return notes


def known_limits(findings: Findings) -> list[str]:
    """What the numbers themselves tell of the limits of a study, beside ``cautions``."""
    videos, result = findings.scored.videos, findings.results[findings.main]
    limits = cautions(findings.scored, findings.results)
    for column in ("site", "vendor"):
        if column not in videos or videos[column].isna().all():
            limits.append(f"The predictions do not tell the {column}: whether accuracy depends on it is unknown.")
        elif videos[column].nunique() == 1:
            limits.append(f"All videos are of one {column}: nothing is known of others.")
    if (fit := result.calibration) is not None and not fit.slope.ci_low <= 1 <= fit.slope.ci_high:
        kind = "extreme" if fit.slope.value < 1 else "moderate"
        limits.append(f"The scores are too {kind} to be read as probabilities (slope {fit.slope.value:.2f}).")
    if (fit := result.calibration) is not None and not fit.intercept.ci_low <= 0 <= fit.intercept.ci_high:
        side = "low" if fit.intercept.value > 0 else "high"
        limits.append(f"The scores are too {side} to be read as probabilities (intercept {fit.intercept.value:.2f}).")
    small = [
        f"{typeset(subgroup.grouping.name)}: {typeset(level)}"
        for subgroup in findings.subgroups
        for level, figures in subgroup.levels.items()
        if figures.is_underpowered
    ]
    if small:
        limits.append(f"Groups too small to show a difference of their own: {'; '.join(small)}.")
    return limits


def methods(findings: Findings, seed: int, adjustment: str) -> list[str]:
    """The methods paragraphs on models and detector, from what was computed."""
    scored, results, detection = findings.scored, findings.results, findings.metrics.get("detection")
    result = next(iter(results.values()))
    point = result.operating_point
    num_patients = scored.videos["patient_id"].nunique()
    texts = [
        f"{count(len(scored.videos), 'video')} of {count(num_patients, 'patient')}, {int(scored.positive.sum())} of "
        "them malignant, were scored. A score at or above the threshold was called malignant. All intervals have a "
        "confidence level of 95 %, each for itself; p values are two-sided. "
        + (
            "Neither was corrected for looking at several figures."
            if adjustment == "none"
            else f"“adj.” marks p values corrected by the method {adjustment} for all tests between models, of "
            "readers, or between subgroups; generalised score tests are corrected among themselves."
        ),
        f"The area under the ROC curve is the Mann-Whitney estimate with ties counted one half; its interval: "
        f"{result.auc.method}"
        + (f" ({result.auc.resamples:,} resamples, seed {seed})." if result.auc.resamples else ".")
        + (f" A second interval: {result.auc_delong.method}." if result.auc_delong else ""),
        "The band around the ROC curve is a pointwise bootstrap band at fixed false positive rates, of the same "
        "resamples. Partial AUCs, over the part of the curve where "
        + " and where ".join(f"{part.focus} is at least {part.at_least:.0%}" for part in result.partial_aucs)
        + ", are standardised after McClish: 0.5 is guessing, 1 perfect. Average precision is the step-wise area under "
        "the precision-recall curve; its interval and the band around that curve, at fixed recalls, are of the same "
        "resamples too.",
        "The decision curve (Vickers and Elkin) shows the net benefit of a biopsy from each probability on, taking the "
        "score for the probability of cancer, with a pointwise interval of the same resamples. The probabilities of "
        "2, 10, 50 and 95 % are those that part the BI-RADS categories 3, 4A, 4B, 4C and 5.",
        f"The threshold of {point.threshold.value:.4f} was {threshold_words(point.threshold)}. Sensitivity, "
        f"specificity and accuracy: {point.sensitivity.method}. PPV: {point.ppv.method}. NPV: {point.npv.method}. "
        f"F1: {point.f1.method}. Predictive values hold for the share of malignant videos found here, "
        f"{scored.positive.mean():.1%}; their intervals take it for known.",
    ]
    if result.calibration is not None:
        texts.append(
            f"Calibration was judged on the {result.calibration.n} videos in which a lesion was found: "
            f"{result.calibration.method}. The Brier score counts every video."
        )
    if len(results) > 1:
        texts.append(
            "Models were compared on the same videos: AUC by the paired DeLong test, and the interval of its "
            "difference by the same variance; sensitivity, specificity and "
            "accuracy by McNemar's exact test; predictive values by the N-1 chi-square test, which ignores that the "
            "videos are the same, and by the generalised score test, which does not and which, where a patient has "
            "several videos, is given for every proportion."
        )
    if detection is not None:
        texts.append(
            f"The detector was judged by the COCO protocol on all {detection['num_frames']:,} annotated frames of "
            f"{count(detection['num_videos'], 'video')} ({detection['num_boxes']:,} lesion boxes), frames without a "
            "lesion included; AP50 and the FROC curve ask for an overlap (IoU) of at least 0.50. Intervals: "
            f"{detection['ap50_interval']['method']} ({detection['ap50_interval']['resamples']:,} resamples)."
        )
    return texts


def not_computed(findings: Findings, has_clips: bool, has_thumbnails: bool) -> list[str]:
    """What a reader may look for in vain, and why."""
    results, metrics = findings.results, findings.metrics
    absent = []
    for model, result in results.items():
        if result.auc_delong is None:
            absent.append(f"DeLong's interval for {model}: one class is of a single patient.")
        if result.calibration is None:
            absent.append(f"Calibration of {model}: the videos with a found lesion are all of one class.")
    if len(results) == 1:
        absent.append("Comparison of models: one predictions file was given.")
    if findings.detector is None:
        absent.append("Average precision and FROC of the detector: --detections and --annotations were not given.")
    if not has_clips:
        absent.append("Scores over time: there is no clips.parquet beside the predictions.")
    if not has_thumbnails:
        absent.append("Pictures of the lesions: there is no thumbnails folder beside the predictions.")
    if findings.study is None:
        absent.append("Readers: --readers was not given.")
    elif findings.study.times is None:
        absent.append("Reading times: the readings have no column reading_time_s, or it is empty.")
    elif not findings.study.times.groups:
        absent.append("Readers by reading time: a third of the videos by time is of one class, or of one patient.")
    if not findings.subgroups:
        absent.append("Subgroups: --subgroups was not given.")
    for origin in ("split", "site"):
        if origin not in metrics.get("populations", {}):
            absent.append(
                f"The population by {origin}: the videos are of one {origin}, or the predictions do not tell."
            )
    return absent
