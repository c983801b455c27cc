"""What is sold: catalogue, stock, carts, orders and payments, declared with the words of a user's file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backstay.commerce.cart import Cart as Cart
    from backstay.commerce.cart import CartItem as CartItem
    from backstay.commerce.catalogue import Category as Category
    from backstay.commerce.catalogue import Medium as Medium
    from backstay.commerce.catalogue import Price as Price
    from backstay.commerce.catalogue import Product as Product
    from backstay.commerce.catalogue import StockMovement as StockMovement
    from backstay.commerce.catalogue import Variant as Variant
    from backstay.commerce.ledger import LedgerEntry as LedgerEntry
    from backstay.commerce.ledger import Posting as Posting
    from backstay.commerce.offer import Discount as Discount
    from backstay.commerce.offer import DiscountUse as DiscountUse
    from backstay.commerce.offer import ShippingMethod as ShippingMethod
    from backstay.commerce.offer import ShippingRate as ShippingRate
    from backstay.commerce.offer import TaxRate as TaxRate
    from backstay.commerce.order import Order as Order
    from backstay.commerce.order import OrderEvent as OrderEvent
    from backstay.commerce.order import OrderItem as OrderItem
    from backstay.commerce.order import Payment as Payment
    from backstay.commerce.order import Refund as Refund
    from backstay.commerce.payments.play_money import PlayMoney as PlayMoney
    from backstay.commerce.shop import Shop as Shop
    from backstay.commerce.webhooks import PaymentEvent as PaymentEvent
    from backstay.model.value import Money as Money

_PLACES = {
    "commerce.cart": ("Cart", "CartItem"),
    "commerce.catalogue": ("Category", "Medium", "Price", "Product", "StockMovement", "Variant"),
    "commerce.ledger": ("LedgerEntry", "Posting"),
    "commerce.offer": ("Discount", "DiscountUse", "ShippingMethod", "ShippingRate", "TaxRate"),
    "commerce.order": ("Order", "OrderEvent", "OrderItem", "Payment", "Refund"),
    "commerce.payments.play_money": ("PlayMoney",),
    "commerce.shop": ("Shop",),
    "commerce.webhooks": ("PaymentEvent",),
    "model.value": ("Money",),
}
_HOMES = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Each name is imported when it is first used, so that who sells nothing loads nothing of it."""
    if (place := _HOMES.get(name)) is None:
        raise AttributeError(f"module 'backstay.commerce' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"backstay.{place}"), name)
    return value
