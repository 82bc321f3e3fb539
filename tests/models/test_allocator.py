"""Memory that tensors give back stays for the next ones while a job is under way, and not longer."""

import platform

import pytest
import torch

from napari_medseg.models.allocator import kept

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def faults():
    """Pages that the system has handed out for 20 tensors of 48 MB, one after the other."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(12 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_pages_are_handed_out_once_while_work_is_under_way():
    with kept():
        faults()
        again = faults()
    assert again * 5 < faults()


def test_the_first_of_two_jobs_to_end_takes_nothing_from_the_other():
    one, other = kept(), kept()
    with one:
        other.__enter__()
    faults()
    again = faults()
    other.__exit__(None, None, None)
    assert again * 5 < faults()
