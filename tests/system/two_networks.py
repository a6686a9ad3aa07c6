"""Two devices with two networks each: a good cable, and a slow one that passes a relay."""
from netlab import Network, _ip
from relay import PEER_PORT, Relay


class TwoNetworks(Network):
    """eth0 of the devices, 10.77.0.N, is on the switch. eth1, 10.79.0.N, ends in a namespace of its own for each device,
    where a relay answers at the other device's address and passes on what comes, slowly."""

    def __init__(self, delay_s, bytes_per_s):
        super().__init__()
        self.delay_s, self.bytes_per_s, self.middles, self.relays = delay_s, bytes_per_s, [], []

    def add_device(self):
        name = super().add_device()
        number = len(self.devices)
        if number > 2:  # a reference: the good network only
            return name
        middle = f"{self.prefix}m{number}"
        _ip("netns", "add", middle)
        self.middles.append(middle)
        _ip("-n", middle, "link", "add", "slow", "type", "veth", "peer", "name", "eth1", "netns", name)
        _ip("-n", middle, "addr", "add", f"10.79.0.{3 - number}/24", "dev", "slow")
        _ip("-n", middle, "link", "set", "slow", "up")
        _ip("-n", name, "addr", "add", f"10.79.0.{number}/24", "broadcast", "10.79.0.255", "dev", "eth1")
        _ip("-n", name, "link", "set", "eth1", "up")
        if number == 2:
            for here, there in ((0, 1), (1, 0)):
                address = (f"10.79.0.{2 - here}", PEER_PORT)
                self.relays.append(Relay(self.middles[here], address, address, self.delay_s, self.bytes_per_s,
                                         far=self.middles[there]))
        return name

    def close(self):
        for relay in self.relays:
            relay.close()
        for name in self.middles:
            self.devices.append(name)
        super().close()
