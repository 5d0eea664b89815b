"""Two versions of a model beside each other."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from annotate.models.constraints import check
from annotate.models.instance import Instance
from annotate.models.run import Run
from annotate.models.version import ModelVersion

#: More seeds than this are an evaluation.
MAX_SEEDS = 4


class VersionComparison(models.Model):
    """Two versions on the same inputs and the same seeds; its run makes the videos."""

    run = models.OneToOneField(Run, models.CASCADE, related_name="version_comparison")
    baseline = models.ForeignKey(ModelVersion, models.PROTECT, related_name="+")
    candidate = models.ForeignKey(ModelVersion, models.PROTECT, related_name="+")
    instances = models.ManyToManyField(Instance, related_name="+")
    num_seeds = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [
            check(~Q(baseline=F("candidate")), "two_versions"),
            check(Q(num_seeds__gte=1, num_seeds__lte=MAX_SEEDS), "seeds_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.candidate} against {self.baseline}"

    @property
    def seeds(self) -> list[int]:
        return list(range(self.num_seeds))
