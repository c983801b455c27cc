"""What the API shows, as Pydantic models."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


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


class ReviewWanted(BaseModel):
    product_id: UUID
    stars: int = Field(ge=1, le=5)
    text: str = Field(min_length=1, max_length=1000)


class ReviewShown(Shown):
    author_id: UUID
    product_id: UUID
    stars: int
    text: str


class LineWanted(BaseModel):
    product_id: UUID
    quantity: int = Field(ge=1, le=100)


class PurchaseWanted(BaseModel):
    items: list[LineWanted] = Field(min_length=1, max_length=50)


class OrderMade(Shown):
    customer_id: UUID
    status: str
    total: int


class ProductPage(BaseModel):
    """A list of products; the total only where it was asked for."""

    data: list[ProductShown]
    total: int | None = None


class OrderPage(BaseModel):
    """A list of orders."""

    data: list[OrderShown]
