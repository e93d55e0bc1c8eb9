"""Camtrap DP: media found by fileName and deployment, versions before 1.0, and whose behaviour it is."""

import math
from pathlib import Path

import pytest

from schemas.labels import Span
from tests.vimoclip.annotations.files import spans, stored, write
from vimoclip.annotations import Annotations, match, read

WHOLE = (-math.inf, math.inf)
MEDIA = "mediaID,deploymentID,timestamp,filePath,fileName,fileMediatype\n"
OBSERVATIONS = "observationID,deploymentID,mediaID,eventStart,eventEnd,observationType,behavior,individualID\n"


def package(folder: Path, media: str, observations: str, deployments: str = "") -> Annotations:
    write(folder, "media.csv", media)
    if deployments:
        write(folder, "deployments.csv", deployments)
    return read(write(folder, "observations.csv", observations))


def agouti(folder: Path, *files: tuple[str, str], deployments: str = "") -> Annotations:
    """A video for each deployment and fileName, whose filePath is an address; each feeding."""
    media = [
        f"m{n},{where},2024-05-01T10:0{n}:00Z,https://media.example.org/assets/m{n}/file,{name},video/avi\n"
        for n, (where, name) in enumerate(files)
    ]
    seen = [f"o{n},{where},m{n},,,animal,feeding,\n" for n, (where, _) in enumerate(files)]
    return package(folder, MEDIA + "".join(media), OBSERVATIONS + "".join(seen), deployments)


def test_a_file_is_found_by_its_name_where_its_path_is_an_address(tmp_path: Path) -> None:
    annotations = agouti(tmp_path, ("d1", "IMG_0001.AVI"), ("d1", "IMG_0002.AVI"))
    matched = match(annotations, stored({name: f"/x/{name}" for name in ("siteA/IMG_0001.AVI", "IMG_0002.AVI")}))
    assert matched.videos == ["siteA/IMG_0001.AVI", "IMG_0002.AVI"]
    assert (matched.unknown, matched.ambiguous, annotations.clock) == ([], [], "player")
    assert "'IMG_0001.AVI' is taken for siteA/IMG_0001.AVI" in matched.notes[0]  # d1 or siteA, who knows


def test_of_many_files_of_one_name_the_deployment_says_which(tmp_path: Path) -> None:
    files = [("d1", "IMG_0001.AVI"), ("d2", "IMG_0001.AVI")]
    known = stored({f"{site}/IMG_0001.AVI": f"/x/{site}/IMG_0001.AVI" for site in ("siteA", "siteB")})
    deployments = "deploymentID,locationID,locationName\nd1,l1,siteB\nd2,siteA,Ridge\n"
    matched = match(agouti(tmp_path, *files, deployments=deployments), known)
    assert matched.videos == ["siteB/IMG_0001.AVI", "siteA/IMG_0001.AVI"]
    assert matched.notes == []
    by_id = stored({f"{site}/IMG_0001.AVI": f"/x/{site}/IMG_0001.AVI" for site in ("d1", "d2")})
    (tmp_path / "deployments.csv").unlink()
    assert match(agouti(tmp_path, *files), by_id).videos == ["d1/IMG_0001.AVI", "d2/IMG_0001.AVI"]
    one = stored({"siteA/IMG_0001.AVI": "/x/siteA/IMG_0001.AVI"})
    for videos in (known, one):
        matched = match(agouti(tmp_path, *files), videos)
        assert (matched.videos, matched.unknown) == ([], [])
        assert len(matched.ambiguous) == 2


def test_a_path_that_contradicts_is_not_overruled_by_the_file_name(tmp_path: Path) -> None:
    media = MEDIA + "m1,d1,2024-05-01T10:00:00Z,media/siteB/IMG_0001.AVI,IMG_0001.AVI,video/avi\n"
    matched = match(
        package(tmp_path, media, OBSERVATIONS + "o1,d1,m1,,,animal,feeding,\n"),
        stored({"siteA/IMG_0001.AVI": "/x/siteA/IMG_0001.AVI"}),
    )
    assert (matched.videos, matched.unknown) == ([], ["media/siteB/IMG_0001.AVI"])
    assert "siteA/IMG_0001.AVI is of another folder" in matched.nearest["media/siteB/IMG_0001.AVI"]


@pytest.mark.parametrize("camel", [True, False])
def test_before_1_0_sequences_are_observed(tmp_path: Path, camel: bool) -> None:
    media = "media_id,deployment_id,sequence_id,timestamp,file_path,file_name,file_mediatype\n"
    header = (
        "observation_id,deployment_id,sequence_id,media_id,timestamp,observation_type,scientific_name,behaviour,"
        "individual_id\n"
    )
    if camel:
        names = {"media_id": "mediaID", "deployment_id": "deploymentID", "sequence_id": "sequenceID"}
        names |= {"file_path": "filePath", "file_name": "fileName", "file_mediatype": "fileMediatype"}
        names |= {"observation_id": "observationID", "observation_type": "observationType"}
        names |= {"scientific_name": "scientificName", "individual_id": "individualID"}
        for old, new in names.items():
            media, header = media.replace(old, new), header.replace(old, new)
    for n, (sequence, suffix) in enumerate([("s1", "mp4"), ("s1", "mp4"), ("s2", "mp4"), ("s3", "jpg")]):
        kind = "video/mp4" if suffix == "mp4" else "image/jpeg"
        media += f"m{n},d1,{sequence},2020-06-19T22:0{n}:00Z,media/{n}.{suffix},{n}.{suffix},{kind}\n"
    rows = (
        "o1,d1,s1,NA,2020-06-19T22:00:00Z,animal,Pan,feeding,Ada\n"
        "o2,d1,s2,m2,2020-06-19T22:02:00Z,animal,Pan,resting,\n"
        "o3,d1,s3,,2020-06-19T22:03:00Z,animal,Pan,resting,\n"  # of pictures
        "o4,d1,s9,,2020-06-19T23:00:00Z,animal,Pan,resting,\n"
    )
    annotations = package(tmp_path, media, header + rows)
    assert spans(annotations) == {
        "media/0.mp4": [("feeding", *WHOLE)],
        "media/1.mp4": [("feeding", *WHOLE)],
        "media/2.mp4": [("resting", *WHOLE)],
    }
    assert annotations.videos[0].labels[0].subject == "Ada"
    assert annotations.videos[0].metadata == {"species": "Pan", "deployment": "d1"}
    assert annotations.unplaced == ("line 5: sequence s9 of d1 (no video)",)


def test_two_individuals_are_two_labels(tmp_path: Path) -> None:
    media = MEDIA + "m1,d1,2024-05-01T10:00:00Z,a.mp4,a.mp4,video/mp4\n"
    times = "2024-05-01T10:00:01Z,2024-05-01T10:00:0{}Z"
    rows = "".join(
        f"o{n},d1,m1,{times.format(end)},animal,feeding,{who}\n"
        for n, (end, who) in enumerate([(3, "Ada"), (9, "Bea"), (5, "Ada"), (4, "NA")])
    )
    (video,) = package(tmp_path, media, OBSERVATIONS + rows).videos
    assert set(video.labels) == {
        Span("feeding", 1.0, 5.0, "Ada"),
        Span("feeding", 1.0, 9.0, "Bea"),
        Span("feeding", 1.0, 4.0),
    }
    matched = match(read(tmp_path / "observations.csv"), stored({"a.mp4": "/x/a.mp4"}))
    assert {(each.subject, each.end_s) for each in matched.labels} == {("Ada", 5.0), ("Bea", 9.0), (None, 4.0)}
