"""What the API shows, as Pydantic models."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Shown(BaseModel):
    """What every record shows; read from the attributes of a row."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    created_at: datetime
    updated_at: datetime


class CategoryShown(Shown):
    name: str
    slug: str


class ProductShown(Shown):
    name: str
    slug: str
    description: str
    price: int
    category_id: UUID
    stock: int


class ProductWithCategory(ProductShown):
    category: CategoryShown


class ItemShown(Shown):
    order_id: UUID
    product: ProductWithCategory
    quantity: int
    price: int


class OrderShown(Shown):
    customer_id: UUID
    status: str
    total: int
    items: list[ItemShown]


class ProductPage(BaseModel):
    """A list of products; the total only where it was asked for."""

    data: list[ProductShown]
    total: int | None = None


class OrderPage(BaseModel):
    """A list of orders."""

    data: list[OrderShown]
