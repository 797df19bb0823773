"""The newest pushed model, where no metadata store can be asked for the latest blessed one."""

from components.newest_pushed.component import NewestPushed

__all__ = ["NewestPushed"]
