"""Videos as grey frames: frame k is the k-th decoded frame, whatever the time stamps say."""

from wauve_dist.data.decoding.backends import Decoder, decode_frames, decode_views, decoding_gpu, take_gpu
from wauve_dist.data.decoding.grey_view import GreyView
from wauve_dist.data.decoding.images import is_images
from wauve_dist.data.decoding.pyav import check_video
from wauve_dist.data.decoding.video import GreyFrame, VideoError, VideoInfo, check_sector

__all__ = [
    "Decoder",
    "GreyFrame",
    "GreyView",
    "VideoError",
    "VideoInfo",
    "check_sector",
    "check_video",
    "decode_frames",
    "decode_views",
    "decoding_gpu",
    "is_images",
    "take_gpu",
]
